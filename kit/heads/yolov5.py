"""YOLOv5, YOLOv7, and YOLOv6: one output [N, A, 5 + C], a row for each anchor, decoded in the graph.

Centre x, centre y, width, height in input pixels, objectness, C probabilities: a score is objectness times class.
Layout: https://github.com/ultralytics/yolov5/issues/251 and https://github.com/WongKinYiu/yolov7
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _objectness, _outputs
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model


class Yolov5:
    """Rows with objectness, boxes in pixels."""

    name = "yolov5"
    suppress = True
    words = (("pixels", "fractions"),)

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By values: pixels all over the picture, then probabilities; by three anchors for each cell."""
        rows = _objectness.rows(seen)
        if rows is None:
            return None
        classes = rows.shape[2] - _objectness.BEFORE_CLASSES
        certainty, why = (Certainty.CERTAIN, "as you say") if asked is not None else _certainty(seen, classes)
        if certainty is None:
            return None
        layout = Layout(frame=seen.frame, words=asked or ())
        if "fractions" in layout.words and layout.frame is None:
            return None
        shape = f"one output [N, {_outputs.column(rows.shape[1], 'A')}, 5 + {classes}]"
        return Reading(
            layout=layout, class_count=classes, certainty=certainty,
            reason=f"{shape} as YOLOv5 and YOLOv7 have: {why}{_outputs.ignored(seen, (0,))}",
            rivals=("yolov5", "yolov8,anchors-first") if certainty is Certainty.UNSURE else (),
        )  # fmt: skip

    def anchor_axis(self, layout: Layout) -> int:  # noqa: ARG002
        """The first after the batch."""
        return 1

    def expects(self) -> str:
        """One output, anchors first."""
        return "one float output [N, anchors, 5 + classes] in pixels"

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """Split the columns; boxes as they are."""
        boxes = "centre = Identity (xy)\n size = Identity (wh)"
        if (factor := _factor(meaning.layout)) is not None:
            boxes = f"""frame = Constant <value = float[1, 1, 2] {{{factor[0]!r}, {factor[1]!r}}}> ()
              centre = Mul (xy, frame)
              size = Mul (wh, frame)"""
        return _objectness.graph(meaning.class_count or 0, boxes, model)

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same in numpy."""
        import numpy as np

        from kit.heads import _arrays

        boxes = _arrays.floats(raw[0])
        factor = np.array(_factor(meaning.layout) or (1, 1), np.float32)
        return _objectness.decode(raw[0], boxes[..., :2] * factor, boxes[..., 2:4] * factor, meaning)


def _factor(layout: Layout | None) -> tuple[float, float] | None:
    """Return the frame's width and height where boxes are fractions of it."""
    if layout is None or layout.frame is None or "fractions" not in layout.words:
        return None
    return float(layout.frame[1]), float(layout.frame[0])


def _certainty(seen: Evidence, classes: int) -> tuple[Certainty | None, str]:
    from kit.heads import _arrays

    rows, size = _objectness.rows(seen), seen.sampled_frame
    if rows is None or not _objectness.tall(rows) or seen.samples is None or size is None:
        return None, ""
    values = seen.samples[0]
    centre, wide, scores = values[..., :2], values[..., 2:4], values[..., 4:]
    if not _arrays.probable(scores) or not _arrays.spread(centre, wide, size):
        return None, ""
    if "Exp" in seen.operators(0) and _objectness.per_cell(seen) == 1:
        return None, ""  # YOLOX's sizes are powers, and its cells have one anchor each
    if seen.named_classes == classes + 1:
        return None, ""  # there is no column for objectness
    if _objectness.per_cell(seen) == 3:
        return Certainty.CERTAIN, "pixels and probabilities, 3 anchors for each cell of strides 8, 16 and 32"
    if seen.named_classes == classes or _has_objectness(seen, classes):
        return Certainty.LIKELY, "its values are pixels and probabilities, the first one objectness"
    return Certainty.UNSURE, "its values are pixels and probabilities, of which the first is objectness or a class"


def _has_objectness(seen: Evidence, classes: int) -> bool:
    """Tell whether one column between box and classes is made apart, as YOLOv6's column of ones is."""
    sizes = [piece.size for piece in seen.pieces(0, _objectness.BEFORE_CLASSES + classes)]
    return sizes[-2:] == [1, classes] or sizes[-1:] == [1 + classes]


MEMBER = Yolov5()
