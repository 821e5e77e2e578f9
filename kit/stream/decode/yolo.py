"""Raw heads of YOLOv8 and YOLO11: ``[4 + C, A]`` of cx, cy, w, h in pixels of the input and C probabilities.

What ``kit.tasks.detect`` puts into a graph is done here in numpy, with the same answers, for models that others made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.stream.decode.interface import Arrays, Reading, Shown
from kit.stream.results import Detections
from kit.types import Normalization, Thresholds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BOX = 4
_MOST_CANDIDATES = 1000  # as the served graph has it


class Yolo:
    """One output whose columns are anchors."""

    name = "yolo"
    task = "detect"
    rank = 20
    normalization = Normalization()

    def recognise(self, shown: Shown) -> str | None:
        """One float output of two dimensions with many more anchors than channels."""
        if len(shown.outputs) != 1 or not shown.outputs[0].dtype.is_float or len(shown.outputs[0].shape) != 2:
            return None
        channels, anchors = shown.outputs[0].shape
        if channels <= _BOX or (anchors != -1 and anchors <= channels):
            return None
        return f"one output [4 + {channels - _BOX}, {anchors}] as YOLOv8 and YOLO11 have"

    def expects(self) -> str:
        """One matrix."""
        return "one float output [4 + classes, anchors]"

    def decode(self, arrays: Arrays, reading: Reading) -> Detections:
        """Best class per anchor, best anchors, NMS per class, and the boxes mapped to the source."""
        import numpy as np

        (head,) = arrays.values()
        if head.ndim != 2 or head.shape[0] <= _BOX:
            raise ValueError(f"the output has shape {list(head.shape)}, not [4 + classes, anchors]")
        boxes, scores, classes = _candidates(head, reading.thresholds)
        kept = suppress(boxes, scores, classes, reading.thresholds)
        return Detections(
            boxes=reading.letterbox.to_source(boxes[kept]), scores=scores[kept], classes=classes[kept].astype(np.int32)
        )


def _candidates(
    head: npt.NDArray[np.generic], limits: Thresholds
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Return corners [K, 4], scores [K] and classes [K] of the anchors that NMS looks at, the surest first."""
    import numpy as np

    best = head[_BOX:].max(axis=0)
    sure = np.flatnonzero(best > limits.score)
    order = sure[np.argsort(-best[sure], kind="stable")][: max(_MOST_CANDIDATES, limits.max_detections)]
    chosen = head[:, order].astype(np.float32, copy=False)
    classes = chosen[_BOX:].argmax(axis=0)
    centre, half = chosen[:2].T, chosen[2:_BOX].T * np.float32(0.5)
    return np.concatenate([centre - half, centre + half], axis=1), best[order].astype(np.float32), classes


def suppress(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    classes: npt.NDArray[np.intp],
    limits: Thresholds,
) -> npt.NDArray[np.intp]:
    """Return the indices that greedy, class-aware NMS keeps of boxes [K, 4], which stand in falling order of score.

    Each turn keeps the surest box left and drops at once all of its class that overlap it by more than ``iou``.
    The kept ones come in falling order, so that it may end at ``max_detections``.
    """
    import numpy as np

    assert len(boxes) == len(scores) == len(classes)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    left = np.arange(len(boxes))
    kept: list[np.intp] = []
    most = np.float32(limits.iou)
    while len(left) and len(kept) < limits.max_detections:
        first, rest = left[0], left[1:]
        kept.append(first)
        corners = boxes[rest]
        sides = np.minimum(boxes[first, 2:], corners[:, 2:]) - np.maximum(boxes[first, :2], corners[:, :2])
        shared = sides.clip(min=0).prod(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            overlap = np.where(shared > 0, shared / (areas[first] + areas[rest] - shared), np.float32(0))
        left = rest[(overlap <= most) | (classes[rest] != classes[first])]
    return np.asarray(kept, np.intp)


MEMBER = Yolo()
