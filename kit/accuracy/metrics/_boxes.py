"""What the metrics of all detectors share: rows kept, truth moved into the frame, answers held against each other."""

from __future__ import annotations

from collections.abc import Sequence

from kit.accuracy.answers import Answers
from kit.accuracy.metrics._coco import Things
from kit.accuracy.types import Array, Arrays, Find, Floats, Objects
from kit.accuracy.validation import Validation
from kit.stream.letterbox import Letterbox


def keep(outputs: Arrays, index: int, *, also: Sequence[str] = ()) -> Arrays:
    """Return the rows of a picture that are finds, the numbers in them that are none as 0."""
    import numpy as np

    count = int(outputs["num"][index].reshape(-1)[0])
    kept = {name: outputs[name][index][:count] for name in ("boxes", "scores", "classes", *also)}
    return {
        name: np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0) if value.dtype.kind == "f" else value
        for name, value in kept.items()
    }


def letterbox(size: tuple[int, int], frame: tuple[int, int]) -> Letterbox:
    """Return where a picture of ``size`` lies in a frame, both height and width in pixels."""
    return Letterbox(source_width=size[1], source_height=size[0], input_width=frame[1], input_height=frame[0])


def marked(validation: Validation, frame: tuple[int, int]) -> list[Things]:
    """Return what is marked in each picture, in pixels of the frame."""
    assert validation.truth is not None
    made = []
    for size, truth in zip(validation.sizes, validation.truth, strict=True):
        assert isinstance(truth, Objects)
        box = letterbox(size, frame)
        scale = (box.size[0] / size[1]) * (box.size[1] / size[0])
        made.append(
            Things(
                boxes=to_frame(truth.boxes, box), classes=truth.classes, crowd=truth.crowd, areas=truth.areas * scale
            )
        )
    return made


def confident(reference: Answers) -> list[Things]:
    """Return what the reference model finds above its served threshold, as if a person had marked it."""
    import numpy as np

    made = []
    for kept in reference.each():
        sure = kept["scores"].astype(np.float64) >= (reference.head.threshold or 0.0)
        boxes = kept["boxes"][sure].astype(np.float64)
        made.append(Things(boxes=boxes, classes=kept["classes"][sure], crowd=np.zeros(len(boxes), bool)))
    return made


def to_frame(boxes: Floats, box: Letterbox) -> Floats:
    """Return boxes in pixels of the frame, without rounding to FP32."""
    import numpy as np

    (width, height), (left, top) = box.size, box.offset
    across, down = width / box.source_width, height / box.source_height
    moved: Floats = boxes * np.array([across, down, across, down]) + np.array([left, top, left, top])
    return moved


def apart(first: Arrays, second: Arrays, threshold: float) -> float:
    """Return how far two answers are apart: of each find above the threshold, the score that has no counterpart.

    A find's counterpart has its class and overlaps it; where they overlap by IoU ``o``, it differs by 1 - o, or by
    how much the scores differ if that is more.
    """
    import numpy as np

    if all(np.array_equal(first[name], second[name]) for name in ("boxes", "scores", "classes")):
        return 0.0
    return max(_missed(first, second, threshold), _missed(second, first, threshold))


def _missed(first: Arrays, second: Arrays, threshold: float) -> float:
    import numpy as np

    worst = 0.0
    for box, score, index in zip(first["boxes"], first["scores"], first["classes"], strict=True):
        if score < threshold:
            continue
        same = second["classes"] == index
        overlap = overlaps(box, second["boxes"][same])
        best = int(np.argmax(overlap)) if len(overlap) else -1
        if best < 0 or overlap[best] < 0.5:
            worst = max(worst, float(score) - threshold)
            continue
        worst = max(worst, 1 - float(overlap[best]), abs(float(score) - float(second["scores"][same][best])))
    return worst


def overlaps(box: Array, others: Array) -> Floats:
    """Return the IoU of a box [4] with each of the others [K, 4]."""
    import numpy as np

    wide, rest = box.astype(np.float64), others.astype(np.float64)
    sizes = np.maximum(np.minimum(wide[2:], rest[:, 2:]) - np.maximum(wide[:2], rest[:, :2]), 0)
    shared = sizes[:, 0] * sizes[:, 1]
    areas = np.prod(wide[2:] - wide[:2]) + np.prod(rest[:, 2:] - rest[:, :2], axis=1)
    ratio: Floats = shared / np.maximum(areas - shared, 1e-12)
    return ratio


def shown(kept: Arrays, threshold: float) -> tuple[Find, ...]:
    """Return the finds above the threshold, best first."""
    return tuple(
        Find(name=str(int(index)), index=int(index), score=float(score), corners=_corners(box))
        for box, score, index in zip(kept["boxes"], kept["scores"], kept["classes"], strict=True)
        if score >= threshold
    )


def _corners(box: Array) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(side) for side in box)
    return (x1, y1, x2, y2)
