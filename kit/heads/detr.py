"""DETR, RT-DETR, RF-DETR, D-FINE: a row for each of Q queries, no NMS.

Boxes [N, Q, 4] are centre x, centre y, width, height in fractions of the frame. Scores [N, Q, C] are logits: of
sigmoids, or of a softmax whose last class is "no object" (DETR). Ultralytics has both in one output [N, Q, 4 + C] of
probabilities. Sources: https://github.com/facebookresearch/detr, https://github.com/lyuwenyu/RT-DETR and
https://github.com/roboflow/rf-detr
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _outputs, _pairs, _scores, _text
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model, Normalization, Tensor

_BOX = 4
_MOST_QUERIES = 1500
_IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Detr:
    """Queries: each object has one."""

    name = "detr"
    suppress = False
    words = (_pairs.UNITS, _pairs.FORMS, _scores.KINDS, _scores.BACKGROUNDS)

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By boxes that are centres and sizes in fractions of the frame, of no more than 1500 rows."""
        pair = _pairs.find(seen)
        return _from_one(seen, asked) if pair is None else _from_two(seen, pair, asked)

    def anchor_axis(self, layout: Layout) -> int:  # noqa: ARG002
        """The first after the batch."""
        return 1

    def expects(self) -> str:
        """Two outputs, or one."""
        return "float outputs [N, queries, 4] and [N, queries, classes], or both in one"

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """Boxes to pixels and corners; the best class of each query."""
        columns = _pairs.columns(meaning)
        if len((meaning.layout or Layout()).outputs) == 1:
            parts = _text.split("raw0", 2, {"boxes_of_rows": _BOX, "scores_of_rows": columns})
            return parts + _pairs.graph(model, meaning, "boxes_of_rows", "scores_of_rows", columns)
        return _pairs.graph(model, meaning, "raw0", "raw1", columns)

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same in numpy."""
        if len(raw) == 1:
            return _pairs.decode(raw[0][..., :_BOX], raw[0][..., _BOX:], meaning)
        return _pairs.decode(raw[0], raw[1], meaning)


def _from_two(seen: Evidence, pair: _pairs.Pair, asked: tuple[str, ...] | None) -> Reading | None:
    said = asked or ()
    form, unit = (
        _pairs.form(pair.box_values, said, seen.ending(pair.boxes)),
        _pairs.unit(pair.box_values, said, "fractions"),
    )
    queries = seen.outputs[pair.boxes].shape[1]
    if asked is None and (form != "centres" or queries > _MOST_QUERIES):
        return None
    scores = _scores.read(seen, pair.scores, pair.score_values, pair.columns, said, "background-last")
    layout = Layout(outputs=(pair.boxes, pair.scores), words=(unit, form or "centres", *scores.words), frame=seen.frame)
    if unit == "fractions" and layout.frame is None:
        return None
    classes = pair.columns - sum(word in ("background-first", "background-last") for word in scores.words)
    likely = Certainty.UNSURE if scores.rivals else Certainty.LIKELY
    focal = "sigmoid" in scores.words and "dets" not in seen.outputs[pair.boxes].name
    return Reading(
        layout=layout, class_count=classes, certainty=likely if asked is None or scores.rivals else Certainty.CERTAIN,
        reason=f"boxes [N, {_outputs.column(queries, 'Q')}, 4] and scores [.., {pair.columns}] of queries, as DETR and "
        f"RT-DETR have: boxes are {_pairs.say(layout.words)}; "
        f"{scores.why}{_outputs.ignored(seen, layout.outputs)}",
        rivals=tuple(f"detr,{','.join(words)}" for words in scores.rivals),
        normalization=Normalization() if focal else _IMAGENET,
    )  # fmt: skip


def _from_one(seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
    """Ultralytics' form: fractions and probabilities side by side."""
    rows = _outputs.only_rows(seen, 2)
    if rows is None or rows.shape[2] <= _BOX or _outputs.other_task(seen) or seen.frame is None:
        return None
    classes = rows.shape[2] - _BOX
    certainty = Certainty.CERTAIN if asked is not None else _certainty(seen, rows, classes)
    if certainty is None:
        return None
    values = None if seen.samples is None else seen.samples[0]
    scores = _scores.read(seen, 0, None if values is None else values[..., _BOX:], classes, asked or (),
                          "background-last")  # fmt: skip
    boxes = None if values is None else values[..., :_BOX]
    unit, form = _pairs.unit(boxes, asked or (), "fractions"), _pairs.form(boxes, asked or ()) or "centres"
    return Reading(
        layout=Layout(words=(unit, form, *scores.words), frame=seen.frame),
        class_count=classes - sum(word in ("background-first", "background-last") for word in scores.words),
        certainty=certainty,
        reason=f"one output [N, {_outputs.column(rows.shape[1], 'Q')}, 4 + {classes}] of queries, as Ultralytics' "
        f"RT-DETR has: {unit} and probabilities{_outputs.ignored(seen, (0,))}",
        rivals=tuple(f"detr,{','.join(words)}" for words in scores.rivals),
    )


def _certainty(seen: Evidence, rows: Tensor, classes: int) -> Certainty | None:
    from kit.heads import _arrays

    if rows.shape[1] > _MOST_QUERIES or seen.samples is None:
        return None
    values = seen.samples[0]
    boxes = values[..., :_BOX]
    if not _arrays.fractions(boxes) or boxes.min() < 0 or not _arrays.probable(values[..., _BOX:]):
        return None
    pieces = seen.pieces(0, rows.shape[2])
    together = len(pieces) == 2 and (pieces[0].size, pieces[1].size) == (_BOX, classes)
    if seen.named_classes == classes or (together and pieces[1].maker == "Sigmoid"):
        return Certainty.CERTAIN
    return None


MEMBER = Detr()
