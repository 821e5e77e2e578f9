"""A CSI camera of a Jetson, by GStreamer and NVIDIA's Argus; the ISP scales, so that the CPU need not."""

from __future__ import annotations

import re
import threading

from kit.errors import CameraUriError
from kit.stream.sources._gstreamer import open_pipeline
from kit.stream.sources._live import Live
from kit.stream.sources.interface import Option, Reader
from kit.stream.uri import CameraUri, own_uri


class Csi(Live):
    """``csi://0?size=1280x720&fps=30&flip=2``."""

    name = "csi"
    schemes = ("csi",)
    forms = ("csi://0",)
    options = (
        Option(name="size", pattern="[1-9][0-9]{1,4}x[1-9][0-9]{1,4}", examples=("1280x720", "1920x1080")),
        Option(name="fps", pattern="[1-9][0-9]{0,2}", examples=("30", "60")),
        Option(name="flip", pattern="[0-7]", examples=("0", "2")),
        Option(name="mode", pattern="[0-9]{1,2}", examples=("0", "2")),
    )

    def parse(self, text: str) -> CameraUri:
        """Take the sensor's number and the options apart."""
        uri = own_uri(text)
        if not re.fullmatch(r"//\d{1,2}/?", uri.place):
            number = re.search(r"\d+", uri.place)
            raise CameraUriError(f'"{uri}" names no sensor; did you mean csi://{number[0] if number else 0}?')
        return uri

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Start the sensor."""
        return open_pipeline(uri, pipeline(uri), timeout_s=timeout_s, halt=halt)


def pipeline(uri: CameraUri) -> str:
    """Return what GStreamer runs for a CSI URI.

    Source: https://docs.nvidia.com/jetson/archives/r36.3/DeveloperGuide/SD/Multimedia/AcceleratedGstreamer.html
    """
    width, height = uri.options.get("size", "1280x720").split("x")
    mode = f" sensor-mode={uri.options['mode']}" if "mode" in uri.options else ""
    return (
        f"nvarguscamerasrc sensor-id={uri.place.strip('/')}{mode}"
        f" ! video/x-raw(memory:NVMM),width={width},height={height},framerate={uri.options.get('fps', '30')}/1"
        f" ! nvvidconv flip-method={uri.options.get('flip', '0')}"
        " ! video/x-raw,format=BGRx"
    )


MEMBER = Csi()
