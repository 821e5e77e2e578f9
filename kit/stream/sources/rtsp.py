"""An RTSP camera, by PyAV: over TCP unless told otherwise, with as little delay as FFmpeg can."""

from __future__ import annotations

import threading

from kit.stream.sources._live import Live
from kit.stream.sources._pyav import AvReader, Opening
from kit.stream.sources.interface import Option, Reader
from kit.stream.uri import CameraUri, network_uri


class Rtsp(Live):
    """``rtsp://user:password@host:554/path#transport=udp``."""

    name = "rtsp"
    schemes = ("rtsp", "rtsps")
    forms = ("rtsp://user:password@host:554/path",)
    options = (
        Option(name="transport", pattern="tcp|udp|udp_multicast|http|https", examples=("tcp", "udp", "udp_multicast")),
        Option(name="threads", pattern="[1-9][0-9]?", examples=("1", "4")),
    )

    def parse(self, text: str) -> CameraUri:
        """Take a URL apart."""
        return network_uri(text)

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Connect and wait until the stream's parameters are known."""
        options = {
            "rtsp_transport": uri.options.get("transport", "tcp"),
            "allowed_media_types": "video",
            "timeout": str(int(timeout_s * 1e6)),  # us, for each of the socket's waits
            "fflags": "discardcorrupt",
            # The session's description says what FFmpeg would read the stream for: 0.1 s instead of 1.1 s until the
            # first picture. The flag "nobuffer" throws away what was read for that, and with it the first key frame.
            "fpsprobesize": "0",
            "probesize": "32",
        }
        threads = int(uri.options.get("threads", "1"))
        address = uri.address.reveal()
        return AvReader(uri, Opening(address=address, options=options, timeout_s=timeout_s, threads=threads))


MEMBER = Rtsp()
