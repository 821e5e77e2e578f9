"""A USB camera or anything else with a Video4Linux device, by PyAV: pictures carry the kernel's own times."""

from __future__ import annotations

import re
import threading

from kit.errors import CameraUriError
from kit.stream.sources._live import Live
from kit.stream.sources._pyav import AvReader, Opening
from kit.stream.sources.interface import Option, Reader
from kit.stream.uri import CameraUri, Secret, own_uri


class V4l2(Live):
    """``v4l2:///dev/video0?size=1280x720&fps=30&format=mjpeg``."""

    name = "v4l2"
    schemes = ("v4l2",)
    forms = ("v4l2:///dev/video0",)
    options = (
        Option(name="size", pattern="[1-9][0-9]{1,4}x[1-9][0-9]{1,4}", examples=("640x480", "1280x720")),
        Option(name="fps", pattern=r"[1-9][0-9]{0,2}", examples=("15", "30")),
        Option(
            name="format", pattern="mjpeg|h264|yuyv422|nv12|yuv420p|rgb24|bgr24|gray", examples=("mjpeg", "yuyv422")
        ),
    )

    def parse(self, text: str) -> CameraUri:
        """Take the device and the options apart."""
        uri = own_uri(text)
        if not uri.place.startswith("///"):
            device = uri.place.strip("/").removeprefix("dev/")
            device = f"video{device}" if device.isdigit() or not device else device
            raise CameraUriError(f'"{uri}" names no device; did you mean v4l2:///dev/{device or "video0"}?')
        return CameraUri(scheme=uri.scheme, place=uri.place, address=Secret(uri.place[2:]), options=uri.options)

    def guess(self, text: str) -> str | None:
        """Claim ``/dev/video0`` and what udev calls it."""
        return f"v4l2://{text}" if re.match(r"/dev/(video\d+|v4l/)", text) else None

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Open the device; the driver takes the nearest size and rate that it has."""
        ffmpeg = {"size": "video_size", "fps": "framerate", "format": "input_format"}
        options = {ffmpeg[name]: value for name, value in uri.options.items()}
        address = uri.address.reveal()
        return AvReader(
            uri, Opening(address=address, options={**options, "fflags": "nobuffer"}, format="v4l2", timeout_s=timeout_s)
        )


MEMBER = V4l2()
