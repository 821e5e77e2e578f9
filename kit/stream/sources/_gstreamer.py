"""Runs a GStreamer pipeline by python3-gi, or by an OpenCV that was built with GStreamer (PyPI's is not)."""

from __future__ import annotations

import threading
import time
from typing import Any

from kit.errors import CameraLostError, CameraSupportError, CameraUriError
from kit.stream.sources.interface import DecodeError, Image, Picture, Reader
from kit.stream.uri import CameraUri

SINK = "appsink name=kit max-buffers=1 drop=true"
_TAIL = f" ! videoconvert ! video/x-raw,format=RGB ! {SINK}"
_POLL_S = 0.1
_NS = 1_000_000_000


def with_sink(pipeline: str) -> str:
    """Return the pipeline with the end that hands out its newest picture as RGB."""
    return pipeline.rstrip(" !") + _TAIL


def open_pipeline(uri: CameraUri, pipeline: str, *, timeout_s: float, halt: threading.Event) -> Reader:
    """Start ``pipeline``, which ends in raw video. Raises ``CameraError``."""
    if (gst := _bindings()) is not None:
        return GstReader(gst, uri, with_sink(pipeline), timeout_s=timeout_s, halt=halt)
    if (cv2 := _opencv()) is not None:
        return OpenCvReader(cv2, uri, pipeline)
    raise CameraSupportError(
        f"{uri.scheme}: needs GStreamer for Python, which this environment lacks; "
        "install python3-gi and gir1.2-gst-plugins-base-1.0 and make the environment with --system-site-packages"
    )


def _bindings() -> Any:
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        from gi.repository import Gst, GstApp
    except (ImportError, ValueError):
        return None
    assert GstApp  # gives appsink its methods
    Gst.init(None)
    return Gst


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        return None
    lines = [line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GStreamer:")]
    return cv2 if any("YES" in line for line in lines) else None


class GstReader:
    """Pulls pictures from an ``appsink``."""

    def __init__(self, gst: Any, uri: CameraUri, pipeline: str, *, timeout_s: float, halt: threading.Event) -> None:
        self._gst = gst
        self._uri = uri
        self._halt = halt
        try:
            self._pipeline = gst.parse_launch(pipeline)
        except Exception as error:  # noqa: BLE001 (GLib.Error; its module is there only where GStreamer is)
            raise CameraUriError(f"{uri} is no pipeline: {uri.redact(str(error))}") from None
        self._sink = self._pipeline.get_by_name("kit")
        self._bus = self._pipeline.get_bus()
        # A live pipeline has nothing to show before it plays, and says so.
        answer = self._pipeline.set_state(gst.State.PAUSED)
        if answer == gst.StateChangeReturn.ASYNC:
            answer = self._pipeline.get_state(int(timeout_s * _NS))[0]
        self._live = answer == gst.StateChangeReturn.NO_PREROLL
        self._sink.set_property("sync", not self._live)
        self._pipeline.set_state(gst.State.PLAYING)

    def read(self) -> Picture | None:
        """Return the newest picture; None at the end of a pipeline that is not live."""
        while not self._halt.is_set():
            if (sample := self._sink.try_pull_sample(int(_POLL_S * _NS))) is not None:
                return self._picture(sample)
            self._raise_error()
            if self._sink.is_eos():
                if self._live:
                    raise CameraLostError(f"{self._uri} ended the stream; it is tried again")
                return None
        return None

    def close(self) -> None:
        """Stop the pipeline."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _raise_error(self) -> None:
        message = self._bus.pop_filtered(self._gst.MessageType.ERROR)
        if message is not None:
            error, _ = message.parse_error()
            self.close()
            raise CameraLostError(f"{self._uri} failed: {self._uri.redact(error.message)}")

    def _picture(self, sample: Any) -> Picture:
        pts = sample.get_buffer().pts
        pts_s = None if pts == self._gst.CLOCK_TIME_NONE else pts / _NS
        return Picture(pts_s=pts_s, image=lambda: self._rgb(sample), captured_ns=time.monotonic_ns())

    def _rgb(self, sample: Any) -> Image:
        import numpy as np

        structure = sample.get_caps().get_structure(0)
        width, height = structure.get_value("width"), structure.get_value("height")
        mapped, memory = sample.get_buffer().map(self._gst.MapFlags.READ)
        if not mapped:
            raise DecodeError("the buffer cannot be read")
        try:
            rows = np.frombuffer(memory.data, np.uint8).reshape(height, -1)  # a row is padded to four bytes
            image: Image = rows[:, : width * 3].copy().reshape(height, width, 3)
            return image
        finally:
            sample.get_buffer().unmap(memory)


class OpenCvReader:
    """Reads a pipeline through OpenCV, which gives BGR."""

    def __init__(self, cv2: Any, uri: CameraUri, pipeline: str) -> None:
        self._cv2 = cv2
        self._uri = uri
        text = (
            pipeline.rstrip(" !")
            + " ! videoconvert ! video/x-raw,format=BGR ! appsink max-buffers=1 drop=true sync=false"
        )
        self._capture = cv2.VideoCapture(text, cv2.CAP_GSTREAMER)
        if not self._capture.isOpened():
            raise CameraLostError(f"{uri} does not start; try it with gst-launch-1.0")

    def read(self) -> Picture | None:
        """Return the next picture."""
        read, image = self._capture.read()
        if not read:
            raise CameraLostError(f"{self._uri} ended the stream; it is tried again")
        return Picture(pts_s=None, image=lambda: self._rgb(image))

    def close(self) -> None:
        """Stop the pipeline."""
        self._capture.release()

    def _rgb(self, image: Any) -> Image:
        converted: Image = self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB)
        return converted
