"""YOLOv10, YOLO26, and Ultralytics' exports with ``nms=True``: one output [N, K, 6 + E], of detections already.

x1, y1, x2, y2 in input pixels, score, class, and E numbers more of each: coefficients of masks (a second output
[N, E, h, w] holds the prototypes) or keypoints. Rows without a detection have score 0.
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _outputs, _text
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model, Tensor

_BEFORE_EXTRAS = 6
_CHOOSING = frozenset({"TopK", "NonMaxSuppression"})


class End2End:
    """Detections: a threshold and fixed rows are all that is left to do."""

    name = "end2end"
    suppress = False
    anchor_axis = 1
    words = ()

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By operators that choose (TopK, NonMaxSuppression), and a column of whole numbers after one of scores."""
        rows = _outputs.only_rows(seen)
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
        layout = Layout(outputs=(0, 1) if proto else (0,), extras=extras, keypoints=points, frame=seen.frame)
        return Reading(
            layout=layout, class_count=seen.named_classes, certainty=certainty,
            reason=f"{shape} of chosen boxes, scores and classes, as YOLOv10, YOLO26 and exports with NMS have"
            + _outputs.ignored(seen, layout.outputs),
        )  # fmt: skip

    def expects(self) -> str:
        """One output of detections."""
        return "one float output [N, rows, 6] of boxes, scores and classes"

    def graph(self, model: Model, meaning: Interpretation) -> str:  # noqa: ARG002
        """Name the columns."""
        extras = meaning.layout.extras if meaning.layout else 0
        parts = {"corners": 4, "score_column": 1, "class_column": 1, "extras": extras}
        return f"""
          {_text.split("raw0", 2, parts)}
          axis_column = Constant <value = int64[1] {{2}}> ()
          best = Squeeze (score_column, axis_column)
          class_float = Squeeze (class_column, axis_column)
          best_class = Cast <to = 7> (class_float)
        """

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same in numpy."""
        import numpy as np

        from kit.heads import _arrays

        rows = _arrays.floats(raw[0])
        extras = rows[..., _BEFORE_EXTRAS:] if meaning.layout and meaning.layout.extras else None
        return Decoded(
            corners=rows[..., :4], best=rows[..., 4], best_class=rows[..., 5].astype(np.int64), extras=extras
        )


def _certainty(seen: Evidence) -> Certainty | None:
    from kit.heads import _arrays

    if not _CHOOSING & seen.operators(0):
        return None
    if _outputs.told(seen) is not None and _plain_columns(seen, seen.outputs[0]):
        return Certainty.CERTAIN
    if seen.samples is None or not seen.samples[0].size:
        return Certainty.UNSURE
    values = _arrays.floats(seen.samples[0])
    whole = bool((values[..., 5] == values[..., 5].round()).all() and (values[..., 5] >= 0).all())
    ordered = bool((values[..., 2:4] >= values[..., :2]).all())
    if not whole or not _arrays.probable(values[..., 4]):
        return None
    return Certainty.CERTAIN if ordered else Certainty.LIKELY


def _plain_columns(seen: Evidence, rows: Tensor) -> bool:
    """Tell whether the columns are those that Ultralytics' task has."""
    if _outputs.told(seen) == "detect":
        return rows.shape[2] == _BEFORE_EXTRAS
    return rows.shape[2] > _BEFORE_EXTRAS


MEMBER = End2End()
