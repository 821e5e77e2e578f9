"""MJPEG or any stream that FFmpeg reads, over HTTP, by PyAV."""

from __future__ import annotations

import threading

from kit.stream.sources._live import Live
from kit.stream.sources._pyav import AvReader, Opening
from kit.stream.sources.interface import Option, Reader
from kit.stream.uri import CameraUri, network_uri


class Http(Live):
    """``http://user:password@host/video.mjpg``."""

    name = "http"
    schemes = ("http", "https")
    forms = ("http://host/video.mjpg",)
    options = (Option(name="threads", pattern="[1-9][0-9]?", examples=("1", "4")),)

    def parse(self, text: str) -> CameraUri:
        """Take a URL apart."""
        return network_uri(text)

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Connect and wait until the stream's parameters are known."""
        options = {
            "timeout": str(int(timeout_s * 1e6)),  # us, for each of the socket's waits
            "fflags": "discardcorrupt",
            "fpsprobesize": "0",
            "analyzeduration": "1000000",  # us
        }
        threads = int(uri.options.get("threads", "1"))
        address = uri.address.reveal()
        return AvReader(uri, Opening(address=address, options=options, timeout_s=timeout_s, threads=threads))


MEMBER = Http()
