"""YOLOv8, YOLO11 and what follows them: one output [N, 4 + C + E, A], a column for each anchor.

Centre x, centre y, width, height in input pixels, C probabilities, and E numbers more: coefficients of masks (a second
output [N, E, h, w] holds the prototypes) or keypoints. Layout: https://docs.ultralytics.com/modes/export/
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _outputs, _text
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model, Tensor

_BOX = 4


class Yolov8:
    """An anchor-free head without objectness, decoded in the graph."""

    name = "yolov8"
    suppress = True
    anchor_axis = 2
    words = (("pixels", "fractions"),)

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By metadata, by a concatenation of boxes and sigmoids, or by values: pixels, then probabilities."""
        rows = _outputs.only_rows(seen, 1)
        if rows is None or rows.shape[1] <= _BOX or _outputs.other_task(seen):
            return None
        extras = _extras(seen, rows)
        classes = rows.shape[1] - _BOX - extras
        if classes < 1:
            return None
        proto = _outputs.prototypes(seen) if extras else None
        points = _outputs.keypoints(seen, extras) if extras and proto is None else None
        if extras and proto is None and points is None:
            return None
        certainty, why = (Certainty.CERTAIN, "as you say") if asked is not None else _certainty(seen, rows, classes)
        if certainty is None:
            return None
        layout = Layout(
            outputs=(0, 1) if proto else (0,), extras=extras, keypoints=points, frame=seen.frame,
            words=asked or (() if _in_pixels(seen, certainty) else ("fractions",)),
        )  # fmt: skip
        if "fractions" in layout.words and layout.frame is None:
            return None
        return Reading(
            layout=layout, class_count=classes, certainty=certainty,
            reason=f"{_shape(rows, classes, extras)} as YOLOv8 and YOLO11 have: {why}"
            + _outputs.ignored(seen, layout.outputs),
        )  # fmt: skip

    def expects(self) -> str:
        """One output, anchors last."""
        return "one float output [N, 4 + classes, anchors]"

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """Split the rows; corners of the boxes; the best class of each anchor."""
        layout, classes = meaning.layout or Layout(), meaning.class_count or 0
        parts = {"centre": 2, "size": 2, "probabilities": classes, "extra_rows": layout.extras}
        unscaled = "fractions" in layout.words
        more = "\n extras = Transpose <perm = [0, 2, 1]> (extra_rows)" if layout.extras else ""
        return f"""
          {_text.split("raw0", 1, parts)}
          {_text.corner_rows(1, "corner_rows")}
          {"fraction_corners" if unscaled else "corners"} = Transpose <perm = [0, 2, 1]> (corner_rows)
          {_text.in_pixels("fraction_corners", layout, "corners") if unscaled else ""}
          {_text.best("probabilities", 1, model.opset)}{more}
        """

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same, with rows last."""
        from kit.heads import _arrays

        layout, classes = meaning.layout or Layout(), meaning.class_count or 0
        rows = _arrays.floats(raw[0]).transpose(0, 2, 1)
        scores = rows[..., _BOX : _BOX + classes]
        return Decoded(
            corners=_arrays.in_pixels(_arrays.from_centres(rows[..., :2], rows[..., 2:_BOX]), layout),
            best=scores.max(axis=2),
            best_class=scores.argmax(axis=2),
            extras=rows[..., _BOX + classes :] if layout.extras else None,
        )


def _extras(seen: Evidence, rows: Tensor) -> int:
    """Return how many rows are neither box nor class: by the metadata, the prototypes, or the graph's own parts."""
    if _outputs.told(seen) == "detect":
        return 0
    if (proto := _outputs.prototypes(seen)) is not None:
        return proto.shape[1]
    if (count := _outputs.keypoint_columns(seen)) is not None:
        return count
    parts = _parts(seen, rows)
    return 0 if parts is None else rows.shape[1] - _BOX - parts


def _parts(seen: Evidence, rows: Tensor) -> int | None:
    """Return how many rows of sigmoids are concatenated after 4 of others; None where it is not so."""
    box, classes = 0, 0
    for piece in seen.pieces(0, rows.shape[1]):
        if box < _BOX and piece.maker != "Sigmoid":
            box += piece.size
        elif box == _BOX and piece.maker == "Sigmoid":
            classes += piece.size
        elif not classes:
            return None
        else:
            break
    return classes or None


def _certainty(seen: Evidence, rows: Tensor, classes: int) -> tuple[Certainty | None, str]:
    from kit.heads import _arrays

    if seen.named_classes == classes and _outputs.told(seen) is not None:
        return Certainty.CERTAIN, f"its metadata says {_outputs.told(seen)} and names {classes} classes"
    if _parts(seen, rows) == classes:
        return Certainty.CERTAIN, f"4 rows of boxes and {classes} of sigmoids are put together"
    if seen.samples is None:
        return None, ""
    values = seen.samples[0]
    if values.shape[2] <= values.shape[1]:
        return None, ""
    scores, boxes = values[:, _BOX : _BOX + classes], values[:, :_BOX]
    if _arrays.probable(scores) and not _arrays.fractions(boxes) and boxes[:, 2:].min() >= 0:
        return Certainty.LIKELY, "its values are pixels and probabilities"
    return None, ""


def _in_pixels(seen: Evidence, certainty: Certainty) -> bool:
    """Tell whether boxes are in pixels: Ultralytics' are, others are looked at."""
    from kit.heads import _arrays

    if certainty is not Certainty.CERTAIN or _outputs.told(seen) is not None or seen.samples is None:
        return True
    return not _arrays.fractions(seen.samples[0][:, :_BOX])


def _shape(rows: Tensor, classes: int, extras: int) -> str:
    more = f" + {extras}" if extras else ""
    return f"one output [N, 4 + {classes}{more}, {_outputs.column(rows.shape[2], 'A')}]"


MEMBER = Yolov8()
