"""YOLOv8, YOLO11 and what follows them: one output [N, 4 + C + E, A], a column for each anchor.

Centre x, centre y, width, height in input pixels, C probabilities, and E numbers more: coefficients of masks (a second
output [N, E, h, w] holds the prototypes) or keypoints. Layout: https://docs.ultralytics.com/modes/export/. Some
converters turn it, [N, A, 4 + C + E]: ``anchors-first``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.evidence import Evidence
from kit.heads import _outputs, _text
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BOX = 4
_FIRST, _LAST = "anchors-first", "anchors-last"
_UNITS = ("pixels", "fractions")


class Yolov8:
    """An anchor-free head without objectness, decoded in the graph."""

    name = "yolov8"
    suppress = True
    words = (_UNITS, (_LAST, _FIRST))

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By metadata, by a concatenation of boxes and sigmoids, or by values: pixels, then probabilities."""
        readings = (_read(seen, axis, asked) for axis in _axes(seen, asked))
        return next((reading for reading in readings if reading is not None), None)

    def anchor_axis(self, layout: Layout) -> int:
        """The last, unless the output is turned."""
        return 1 if _FIRST in layout.words else 2

    def expects(self) -> str:
        """One output, anchors last."""
        return "one float output [N, 4 + classes, anchors]"

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """Split the rows; corners of the boxes; the best class of each anchor."""
        layout, classes = meaning.layout or Layout(), meaning.class_count or 0
        parts = {"centre": 2, "size": 2, "probabilities": classes, "extra_rows": layout.extras}
        turned = _FIRST in layout.words
        unscaled = "fractions" in layout.words
        more = "\n extras = Transpose <perm = [0, 2, 1]> (extra_rows)" if layout.extras else ""
        return f"""
          {"turned = Transpose <perm = [0, 2, 1]> (raw0)" if turned else ""}
          {_text.split("turned" if turned else "raw0", 1, parts)}
          {_text.corner_rows(1, "corner_rows")}
          {"fraction_corners" if unscaled else "corners"} = Transpose <perm = [0, 2, 1]> (corner_rows)
          {_text.in_pixels("fraction_corners", layout, "corners") if unscaled else ""}
          {_text.best("probabilities", 1, model.opset)}{more}
        """

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same, with rows last."""
        from kit.heads import _arrays

        layout, classes = meaning.layout or Layout(), meaning.class_count or 0
        rows = _arrays.floats(raw[0])
        rows = rows if _FIRST in layout.words else rows.transpose(0, 2, 1)
        scores = rows[..., _BOX : _BOX + classes]
        return Decoded(
            corners=_arrays.in_pixels(_arrays.from_centres(rows[..., :2], rows[..., 2:_BOX]), layout),
            best=scores.max(axis=2),
            best_class=scores.argmax(axis=2),
            extras=rows[..., _BOX + classes :] if layout.extras else None,
        )


def _axes(seen: Evidence, asked: tuple[str, ...] | None) -> tuple[int, ...]:
    """Return the dimensions of the output that may count the rows, as asked, else the likelier one first."""
    if asked is not None and (said := {_FIRST, _LAST} & set(asked)):
        return (2,) if _FIRST in said else (1,)
    first = seen.outputs[0].shape
    wide = len(first) == 3 and first[2] != -1 and first[1] > first[2]
    return (2, 1) if asked is not None and wide else (1, 2)


def _read(seen: Evidence, axis: int, asked: tuple[str, ...] | None) -> Reading | None:
    """Return the reading with rows along ``axis``."""
    output = _outputs.only_rows(seen, axis)
    if output is None or output.shape[axis] <= _BOX or _outputs.other_task(seen):
        return None
    rows = output.shape[axis]
    extras = _extras(seen, rows)
    classes = rows - _BOX - extras
    proto = _outputs.prototypes(seen) if extras else None
    points = _outputs.keypoints(seen, extras) if extras and proto is None else None
    objectness = asked is None and _parts(seen, rows) == 0
    if classes < 1 or objectness or (extras and proto is None and points is None):
        return None
    certainty, why = (Certainty.CERTAIN, "as you say") if asked is not None else _certainty(seen, axis, rows, classes)
    if certainty is None:
        return None
    unit = next((word for word in asked or () if word in _UNITS), None) or _unit(seen, axis)
    words = (*(["fractions"] if unit == "fractions" else []), *([_FIRST] if axis == 2 else []))
    if unit == "fractions" and seen.frame is None:
        return None
    layout = Layout(outputs=(0, 1) if proto else (0,), words=words, extras=extras, keypoints=points, frame=seen.frame)
    columns = f"4 + {classes}{f' + {extras}' if extras else ''}"
    anchors = _outputs.column(output.shape[3 - axis], "A")
    shape = f"[N, {columns}, {anchors}]" if axis == 1 else f"[N, {anchors}, {columns}]"
    return Reading(
        layout=layout, class_count=classes, certainty=certainty,
        reason=f"one output {shape} as YOLOv8 and YOLO11 have{', turned' if axis != 1 else ''}: {why}"
        + _outputs.ignored(seen, layout.outputs),
    )  # fmt: skip


def _extras(seen: Evidence, rows: int) -> int:
    """Return how many rows are neither box nor class: by the metadata, the prototypes, or the graph's own parts."""
    if _outputs.told(seen) == "detect":
        return 0
    if (proto := _outputs.prototypes(seen)) is not None:
        return proto.shape[1]
    if (count := _outputs.keypoint_columns(seen)) is not None:
        return count
    parts = _parts(seen, rows)
    return rows - _BOX - parts if parts else 0


def _parts(seen: Evidence, rows: int) -> int | None:
    """Return how many rows of sigmoids are concatenated after 4 of others; None where it is not so.

    0 where there are two parts of sigmoids: then the first is objectness.
    """
    parts = list(seen.pieces(0, rows))
    box = 0
    while parts and box < _BOX and parts[0].maker != "Sigmoid":
        box += parts.pop(0).size
    if box != _BOX or not parts or parts[0].maker != "Sigmoid":
        return None
    return 0 if [piece.maker for piece in parts[1:2]] == ["Sigmoid"] else parts[0].size


def _certainty(seen: Evidence, axis: int, rows: int, classes: int) -> tuple[Certainty | None, str]:
    """Return how sure it is, and why. What is turned must look like it: YOLOv5 and RT-DETR have rows of anchors."""
    from kit.heads import _arrays

    named = seen.named_classes == classes and _outputs.told(seen) is not None
    together = _parts(seen, rows) == classes
    if (axis == 1 or _looks_decoded(seen, axis)) and (named or together):
        told = f"its metadata says {_outputs.told(seen)} and names {classes} classes"
        return Certainty.CERTAIN, told if named else f"4 rows of boxes and {classes} of sigmoids are put together"
    values = _values(seen, axis)
    if axis != 1 or values is None or values.shape[2] <= values.shape[1]:
        return None, ""
    scores, boxes = values[:, _BOX : _BOX + classes], values[:, :_BOX]
    if _arrays.probable(scores) and not _arrays.fractions(boxes) and boxes[:, 2:].min() >= 0:
        return Certainty.LIKELY, "its values are pixels and probabilities"
    return None, ""


def _looks_decoded(seen: Evidence, axis: int) -> bool:
    from kit.heads import _arrays

    values, size = _values(seen, axis), seen.sampled_frame
    if values is None or size is None:
        return False
    return _arrays.spread(values[:, :2].swapaxes(1, 2), values[:, 2:_BOX].swapaxes(1, 2), size)


def _values(seen: Evidence, axis: int) -> npt.NDArray[np.float32] | None:
    """Return what the network gives for a random picture, rows first; None where it does not run."""
    from kit.heads import _arrays

    if seen.samples is None:
        return None
    values = _arrays.floats(seen.samples[0])
    return values if axis == 1 else values.swapaxes(1, 2)


def _unit(seen: Evidence, axis: int) -> str:
    """Return whether boxes are in pixels: Ultralytics' are, others are looked at."""
    from kit.heads import _arrays

    if _outputs.told(seen) is not None or (values := _values(seen, axis)) is None:
        return "pixels"
    return "fractions" if _arrays.fractions(values[:, :_BOX]) else "pixels"


MEMBER = Yolov8()
