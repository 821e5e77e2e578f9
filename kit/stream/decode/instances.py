"""Objects with masks as ``kit generate`` serves them: the outputs of ``detect``, and ``masks`` [M, h, w]."""

from __future__ import annotations

from kit.stream.decode.interface import Arrays, Reading, Recognition, Shown, rows
from kit.stream.results import Instances

_NAMES = frozenset({"num", "boxes", "scores", "classes", "masks"})


class ServedInstances:
    """The outputs of ``kit.tasks.instances``."""

    name = "instances"
    task = "instances"
    rank = 8

    def recognise(self, shown: Shown) -> Recognition | None:
        """By the five names."""
        names = {tensor.name for tensor in shown.outputs}
        return Recognition(reason="outputs num, boxes, scores, classes and masks") if names >= _NAMES else None

    def expects(self, head: str | None) -> str:  # noqa: ARG002
        """The five names."""
        return "outputs num, boxes, scores, classes and masks"

    def decode(self, arrays: Arrays, reading: Reading) -> Instances:
        """Read the rows, and of each mask what shows the frame."""
        import numpy as np

        box, found = reading.letterbox, rows(arrays, reading.letterbox)
        return Instances(
            boxes=found.boxes,
            scores=found.scores,
            classes=found.classes,
            masks=box.cut(arrays["masks"][: len(found)]).astype(np.uint8, copy=False),
            source_width=box.source_width,
            source_height=box.source_height,
        )


MEMBER = ServedInstances()
