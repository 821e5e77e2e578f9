"""The server behind the page: the page itself, one stream of all cameras, plain MJPEG of one, and the state.

/                    the page
/all                 multipart: parts are JPEGs with the header X-Camera, and the state as JSON each second
/stream/NAME         MJPEG, for programs that show such: ffplay, VLC, an <img> of your own
/picture/NAME        the newest picture
/state               JSON
"""

from __future__ import annotations

import ipaddress
import json
import time
import urllib.parse
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources

from kit.stream.sinks._address import Address
from kit.stream.sinks._gallery import Gallery

_BOUNDARY = "picture"
_MULTIPART = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
_EACH_S = 1.0
_PATIENCE_S = 10.0
"""A browser that takes nothing for so long is let go."""
_SEND_BUFFER = 1 << 17
"""Bytes that the system holds for a browser: some pictures, so that a slow one sees new ones and not many old ones."""


def make_server(address: Address, gallery: Gallery) -> ThreadingHTTPServer:
    """Return a server that listens. Raises ``OSError``."""

    class Handler(_Handler):
        timeout = _PATIENCE_S

    Handler.gallery, Handler.local = gallery, address.local
    server = ThreadingHTTPServer((address.host, address.port), Handler)
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gallery: Gallery
    local: bool

    def do_GET(self) -> None:
        """Answer; whoever has gone away is forgotten."""
        self.close_connection = True
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        if self.local and not _own(self.headers.get("Host", "")):
            # Or a page from elsewhere could read the pictures by a name that it lets point to this machine.
            self._whole(HTTPStatus.FORBIDDEN, "text/plain", b"ask for localhost\n")
            return
        path, _, name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/").partition("/")
        if path == "":
            page = resources.files(__package__).joinpath("page.html").read_bytes()
            self._whole(HTTPStatus.OK, "text/html; charset=utf-8", page)
        elif path == "state":
            self._whole(HTTPStatus.OK, "application/json", json.dumps(self.gallery.state()).encode())
        elif path == "all":
            self._stream(None)
        elif path in ("stream", "picture") and name in self.gallery.cameras():
            self._stream(name) if path == "stream" else self._picture(name)
        else:
            self._whole(HTTPStatus.NOT_FOUND, "text/plain", b"nothing is here\n")

    def _picture(self, name: str) -> None:
        data = self.gallery.jpeg(name)
        self._whole(HTTPStatus.OK if data else HTTPStatus.SERVICE_UNAVAILABLE, "image/jpeg", data)

    def _whole(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for key, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")):
            self.send_header(key, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, camera: str | None) -> None:
        """Send each newer picture until the browser or the run ends; the state between them where all are sent."""
        import socket

        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _MULTIPART)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        seen: dict[str, int] = {}
        told_s = 0.0
        while not self.gallery.closed:
            if camera is None and time.monotonic() - told_s >= _EACH_S:
                told_s = time.monotonic()
                self._part("application/json", json.dumps(self.gallery.state()).encode())
            newer = self.gallery.newer(seen, camera, _EACH_S)
            for name in newer:
                data = self.gallery.jpeg(name)
                self._part("image/jpeg", data, (("X-Camera", urllib.parse.quote(name)),))
            seen.update(newer)

    def _part(self, kind: str, body: bytes, more: Iterable[tuple[str, str]] = ()) -> None:
        heads = (("Content-Type", kind), ("Content-Length", str(len(body))), *more)
        head = "".join(f"{key}: {value}\r\n" for key, value in heads)
        self.wfile.write(f"--{_BOUNDARY}\r\n{head}\r\n".encode() + body + b"\r\n")
        self.wfile.flush()


def _own(host: str) -> bool:
    """Return whether a Host header names this machine by its loopback."""
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
