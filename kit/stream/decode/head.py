"""Raw heads of detectors that others made: what ``kit generate`` puts into a graph is done here in numpy.

The layouts are those of ``kit.heads``. A server tells no more of a model than names and shapes, which mislead: one
output ``[4 + C, A]`` is taken for YOLOv8's; any other head is one that the user names.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from kit import heads
from kit.evidence import Evidence, Piece
from kit.heads.interface import DetectorHead
from kit.stream.decode.interface import Arrays, Reading, Recognition, Shown
from kit.stream.results import Detections
from kit.types import DataType, Interpretation, Model, Normalization, Signature, Tensor, Thresholds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BOX = 4
_MOST_CANDIDATES = 1000  # as the served graph has it
_USUAL = "yolov8"


class SignatureOnly(Evidence):
    """What is left of the evidence where nobody has the graph."""

    @property
    def samples(self) -> None:
        """Nothing can be run."""
        return

    def operators(self, index: int) -> frozenset[str]:  # noqa: ARG002
        """None are seen."""
        return frozenset()

    def ending(self, index: int) -> str:  # noqa: ARG002
        """None is seen."""
        return ""

    def pieces(self, index: int, size: int) -> tuple[Piece, ...]:  # noqa: ARG002
        """None are seen."""
        return ()


class Head:
    """Boxes, scores and classes of many anchors, before NMS."""

    name = "head"
    task = "detect"
    rank = 20

    def recognise(self, shown: Shown) -> Recognition | None:
        """By the head that the user names; else one float output [4 + C, A] with many more anchors than channels."""
        if shown.head is None and not _usual(shown):
            return None
        found = meaning(shown)
        if found is None:
            return None
        _, read = found
        return Recognition(
            reason=read.reason
            if shown.head
            else f"one output {list(shown.outputs[0].shape)} as YOLOv8 and YOLO11 have",
            normalization=read.normalization or Normalization(),
            color=read.color,
        )

    def expects(self, head: str | None) -> str:
        """One output, or what the named head has."""
        return heads.expects(head) if head else "one float output [4 + classes, anchors]"

    def decode(self, arrays: Arrays, reading: Reading) -> Detections:
        """Corners and classes by the head, NMS per class where it needs one, and the boxes mapped to the source."""
        import numpy as np

        found = meaning(reading.shown)
        assert found is not None  # it was recognised
        head, read = found
        assert read.layout is not None
        outputs = [reading.shown.outputs[index].name for index in read.layout.outputs]
        raw, limits = tuple(arrays[name][np.newaxis] for name in outputs), reading.thresholds
        if (
            head.name == _USUAL and not read.layout.words
        ):  # its scores stand there as they are: nearly all anchors go before any is decoded
            raw = (raw[0][:, :, raw[0][0, _BOX:].max(axis=0) > limits.score],)
        decoded = head.decode(raw, read)
        best = decoded.best[0].astype(np.float32, copy=False)
        order = candidates(best, limits, head.suppress)
        corners, classes = decoded.corners[0][order].astype(np.float32, copy=False), decoded.best_class[0][order]
        kept = suppress(corners, classes, limits) if head.suppress else np.arange(len(order))
        return Detections(
            boxes=reading.letterbox.to_source(corners[kept]),
            scores=best[order][kept],
            classes=classes[kept].astype(np.int32),
        )


def _usual(shown: Shown) -> bool:
    if len(shown.outputs) != 1 or not shown.outputs[0].dtype.is_float or len(shown.outputs[0].shape) != 2:
        return False
    channels, anchors = shown.outputs[0].shape
    return channels > _BOX and (anchors == -1 or anchors > channels)


@functools.lru_cache(maxsize=64)
def meaning(shown: Shown) -> tuple[DetectorHead, Interpretation] | None:
    """Return the head and what its outputs are read as, or None where the shapes do not fit.

    Raises ``UnknownHeadError``.
    """
    picture = Tensor(name="picture", dtype=DataType.FP32, shape=(1, 3, shown.height, shown.width))
    outputs = tuple(Tensor(name=t.name, dtype=t.dtype, shape=(1, *t.shape)) for t in shown.outputs)
    signature = Signature(inputs=(picture,), outputs=outputs)
    model = Model(path=Path(), digest="", signature=signature, opset=0, ir_version=0)
    head, words = heads.parse(shown.head or _USUAL)
    read = head.recognise(SignatureOnly(model), words)
    if read is None or read.layout.extras:
        return None
    return head, Interpretation(
        task="detect",
        head=head.name,
        contract="native",
        class_count=read.class_count,
        normalization=read.normalization,
        color=read.color,
        thresholds=None,
        reason=read.reason,
        layout=read.layout,
    )


def candidates(best: npt.NDArray[np.float32], limits: Thresholds, many: bool) -> npt.NDArray[np.intp]:
    """Return the indices of the scores [A] that are looked at further, the surest first; ``many``: NMS chooses."""
    import numpy as np

    most = max(_MOST_CANDIDATES, limits.max_detections) if many else limits.max_detections
    sure = np.flatnonzero(best > limits.score)
    order: npt.NDArray[np.intp] = sure[np.argsort(-best[sure], kind="stable")][:most]
    return order


def suppress(
    boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.generic], limits: Thresholds
) -> npt.NDArray[np.intp]:
    """Return the indices that greedy, class-aware NMS keeps of boxes [K, 4], which stand in falling order of score.

    Each turn keeps the surest box left and drops at once all of its class that overlap it by more than ``iou``.
    The kept ones come in falling order, so that it may end at ``max_detections``.
    """
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of infinite boxes
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        left = np.arange(len(boxes))
        kept: list[np.intp] = []
        while len(left) and len(kept) < limits.max_detections:
            first, rest = left[0], left[1:]
            kept.append(first)
            corners = boxes[rest]
            sides = np.minimum(boxes[first, 2:], corners[:, 2:]) - np.maximum(boxes[first, :2], corners[:, :2])
            shared = np.where((sides > 0).all(axis=1), sides.prod(axis=1), np.float32(0))
            overlap = np.where(shared > 0, shared / (areas[first] + areas[rest] - shared), np.float32(0))
            left = rest[~(overlap > np.float32(limits.iou)) | (classes[rest] != classes[first])]
    return np.asarray(kept, np.intp)


MEMBER = Head()
