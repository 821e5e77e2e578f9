"""Any GStreamer pipeline that ends in raw video."""

from __future__ import annotations

import threading

from kit.errors import CameraUriError
from kit.stream.sources._gstreamer import open_pipeline
from kit.stream.sources._live import Live
from kit.stream.sources.interface import Option, Reader
from kit.stream.uri import CameraUri, own_uri


class Gst(Live):
    """``gst:videotestsrc is-live=true ! video/x-raw,width=640``; what follows the scheme is for GStreamer as it is."""

    name = "gst"
    schemes = ("gst",)
    forms = ("gst:videotestsrc ! videoconvert",)
    options: tuple[Option, ...] = ()

    def parse(self, text: str) -> CameraUri:
        """Keep the pipeline as it is."""
        uri = own_uri(text, separators="")
        if not uri.place.strip(" !/"):
            raise CameraUriError(f'"{uri}" holds no pipeline; write one, like {self.forms[0]}')
        if "appsink" in uri.place:
            raise CameraUriError(f'"{uri}" has an appsink of its own; end it before that, with raw video')
        return uri

    def guess(self, text: str) -> str | None:
        """Claim what looks like a pipeline."""
        return f"gst:{text}" if " ! " in text else None

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Start the pipeline."""
        return open_pipeline(uri, uri.address.reveal(), timeout_s=timeout_s, halt=halt)


MEMBER = Gst()
