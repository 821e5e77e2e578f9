"""Detections as ``kit generate`` serves them: a fixed number of rows, of which the first ``num`` are filled."""

from __future__ import annotations

from kit.stream.decode.interface import Arrays, Reading, Recognition, Shown, rows
from kit.stream.results import Detections

_NAMES = frozenset({"num", "boxes", "scores", "classes"})


class Served:
    """The outputs of ``kit.tasks.detect``: NMS is done, boxes are in pixels of the input."""

    name = "detect"
    task = "detect"
    rank = 10

    def recognise(self, shown: Shown) -> Recognition | None:
        """By the four names."""
        names = {tensor.name for tensor in shown.outputs}
        return Recognition(reason="outputs num, boxes, scores and classes") if names >= _NAMES else None

    def expects(self, head: str | None) -> str:  # noqa: ARG002
        """The four names."""
        return "outputs num, boxes, scores and classes"

    def decode(self, arrays: Arrays, reading: Reading) -> Detections:
        """Read the first ``num`` rows and map their boxes to the source."""
        return rows(arrays, reading.letterbox)


MEMBER = Served()
