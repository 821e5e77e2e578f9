"""YOLOv10, YOLO26, RT-DETR, and Ultralytics' exports with ``nms=True``: one output [N, K, 6 + E], of chosen boxes.

A box, its score, its class, and E numbers more of each: coefficients of masks (a second output [N, E, h, w] holds the
prototypes) or keypoints. Rows without a detection have score 0. YOLO's boxes are x1, y1, x2, y2 in input pixels;
those of Ultralytics' RT-DETR are centre x, centre y, width, height in fractions of the frame.
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _outputs, _pairs, _text
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model, Tensor

_BEFORE_EXTRAS = 6
_BY_QUERIES = "RTDETRDecoder"
"""The name that Ultralytics writes for RT-DETR's head."""

_CHOOSING = frozenset({"TopK", "NonMaxSuppression"})


class End2End:
    """Detections: a threshold and fixed rows are all that is left to do."""

    name = "end2end"
    suppress = False
    words = (_pairs.UNITS, _pairs.FORMS)

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By operators that choose (TopK, NonMaxSuppression), and a column of whole numbers after one of scores."""
        rows = _outputs.only_rows(seen, 2)
        if rows is None or rows.shape[2] < _BEFORE_EXTRAS or _outputs.other_task(seen):
            return None
        extras = rows.shape[2] - _BEFORE_EXTRAS
        proto = _outputs.prototypes(seen) if extras else None
        points = _outputs.keypoints(seen, extras) if extras and proto is None else None
        if extras and points is None and (proto is None or proto.shape[1] != extras):
            return None
        certainty = Certainty.CERTAIN if asked is not None else _certainty(seen)
        if certainty is None:
            return None
        more = f" + {extras}" if extras else ""
        shape = f"one output [N, {_outputs.column(rows.shape[1], 'K')}, 6{more}]"
        words = _words(seen, asked or ())
        layout = Layout(
            outputs=(0, 1) if proto else (0,), words=words, extras=extras, keypoints=points, frame=seen.frame
        )
        if "fractions" in words and layout.frame is None:
            return None
        return Reading(
            layout=layout, class_count=seen.named_classes, certainty=certainty,
            reason=f"{shape} of chosen boxes, scores and classes, as YOLOv10, YOLO26 and exports with NMS have; boxes "
            f"are {_pairs.say(words)}{_outputs.ignored(seen, layout.outputs)}",
        )  # fmt: skip

    def anchor_axis(self, layout: Layout) -> int:  # noqa: ARG002
        """The first after the batch."""
        return 1

    def expects(self) -> str:
        """One output of detections."""
        return "one float output [N, rows, 6] of boxes, scores and classes"

    def graph(self, model: Model, meaning: Interpretation) -> str:  # noqa: ARG002
        """Name the columns; boxes to corners in pixels."""
        layout = meaning.layout or Layout()
        parts = {"chosen_boxes": 4, "score_column": 1, "class_column": 1, "extras": layout.extras}
        return f"""
          {_text.split("raw0", 2, parts)}
          {_text.in_pixels("chosen_boxes", layout, "pixel_boxes")}
          {_text.to_corners("pixel_boxes", layout)}
          axis_column = Constant <value = int64[1] {{2}}> ()
          best = Squeeze (score_column, axis_column)
          class_float = Squeeze (class_column, axis_column)
          best_class = Cast <to = 7> (class_float)
        """

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same in numpy."""
        import numpy as np

        from kit.heads import _arrays

        rows, layout = _arrays.floats(raw[0]), meaning.layout or Layout()
        return Decoded(
            corners=_arrays.to_corners(_arrays.in_pixels(rows[..., :4], layout), layout),
            best=rows[..., 4],
            best_class=rows[..., 5].astype(np.int64),
            extras=rows[..., _BEFORE_EXTRAS:] if layout.extras else None,
        )


def _words(seen: Evidence, asked: tuple[str, ...]) -> tuple[str, str]:
    """Return the unit and the form of boxes: as asked, else by the values of those that are there, else YOLO's."""
    from kit.heads import _arrays

    queries = seen.metadata.get("head") == _BY_QUERIES
    usual = ("fractions", "centres") if queries else ("pixels", "corners")
    boxes = None
    if seen.samples is not None:
        rows = _arrays.floats(seen.samples[0])
        boxes = rows[rows[..., 4] > 0][:, :4]
    return _pairs.unit(boxes, asked, usual[0]), _pairs.form(boxes, asked) or usual[1]


def _certainty(seen: Evidence) -> Certainty | None:
    from kit.heads import _arrays

    if not _CHOOSING & seen.operators(0):
        return None
    if _outputs.told(seen) is not None and _plain_columns(seen, seen.outputs[0]):
        return Certainty.CERTAIN
    if seen.samples is None or not seen.samples[0].size:
        return Certainty.UNSURE
    rows = _arrays.floats(seen.samples[0])
    whole = bool((rows[..., 5] == rows[..., 5].round()).all() and (rows[..., 5] >= 0).all())
    if not whole or not _arrays.probable(rows[..., 4]):
        return None
    return Certainty.CERTAIN if _arrays.centred(rows[rows[..., 4] > 0][:, :4]) is not None else Certainty.LIKELY


def _plain_columns(seen: Evidence, rows: Tensor) -> bool:
    """Tell whether the columns are those that Ultralytics' task has."""
    if _outputs.told(seen) == "detect":
        return rows.shape[2] == _BEFORE_EXTRAS
    return rows.shape[2] > _BEFORE_EXTRAS


MEMBER = End2End()
