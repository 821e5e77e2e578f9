"""A page for a browser on this machine: all cameras, annotated and live, with their rates and ages.

One connection carries all cameras, because a browser opens six at most to a server. Pictures are drawn only while
somebody looks, once for all who look; a slow browser gets fewer of them, and holds up nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kit.errors import PortInUseError
from kit.stream.sinks._address import Address
from kit.stream.sinks._browser import make_server
from kit.stream.sinks._gallery import Gallery
from kit.stream.sinks.interface import Emission, Note, OpenSink, Takes, Target
from kit.stream.snapshot import Snapshot


class Page:
    """Listens on loopback, unless ``HOST:PORT`` names another address."""

    name = "page"
    flag = "--page"
    key = "page"
    takes = Takes.PORT
    help = "Show all cameras, annotated and live, at http://127.0.0.1:PORT in a browser."
    whole = False

    def check(self, target: Target) -> None:
        """Take ``PORT`` or ``HOST:PORT``."""
        Address.parse(str(target), flag=self.flag)

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Listen."""
        address = Address.parse(str(target), flag=self.flag)
        gallery = Gallery(watch)
        try:
            server = make_server(address, gallery)
        except OSError as error:
            raise PortInUseError(f"{address} cannot be listened on: {error.strerror}; give another port") from error
        return Site(server, gallery)


class Site:
    """Serves until it is closed."""

    def __init__(self, server: Any, gallery: Gallery) -> None:
        self._server = server
        self._gallery = gallery
        self._thread = threading.Thread(target=server.serve_forever, name="camera-page", args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        return int(self._server.server_address[1])

    @property
    def greeting(self) -> str:
        """Where the page is."""
        return f"all cameras at http://{self._server.server_address[0]}:{self.port}"

    def take(self, emission: Emission) -> None:
        """Hang a camera's newest result."""
        self._gallery.hang(emission)

    def note(self, note: Note) -> None:
        """Tell nothing: the page shows the state."""

    def close(self, last: Snapshot) -> None:
        """Let the browsers go."""
        self._gallery.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


MEMBER = Page()
