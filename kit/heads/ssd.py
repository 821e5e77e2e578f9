"""SSD, RetinaNet, EfficientDet, UltraFace: boxes [N, A, 4] beside scores [N, A, C], anchors applied in the graph.

Boxes are x1, y1, x2, y2 in pixels or in fractions of the frame. Scores are probabilities or logits; those of a softmax
have a column of background, the first one in SSD (arXiv:1512.02325).
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _outputs, _pairs, _scores
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model


class Ssd:
    """Dense boxes, corners."""

    name = "ssd"
    suppress = True
    words = (_pairs.UNITS, _pairs.FORMS, _scores.KINDS, _scores.BACKGROUNDS)

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By boxes whose second corner is never before the first."""
        pair = _pairs.find(seen)
        if pair is None:
            return None
        said = asked or ()
        form, unit = (
            _pairs.form(pair.box_values, said, seen.ending(pair.boxes)),
            _pairs.unit(pair.box_values, said, "pixels"),
        )
        if asked is None and form != "corners":
            return None
        scores = _scores.read(seen, pair.scores, pair.score_values, pair.columns, said, "background-first")
        words = (unit, form or "corners", *scores.words)
        layout = Layout(outputs=(pair.boxes, pair.scores), words=words, frame=seen.frame)
        classes = pair.columns - sum(word in ("background-first", "background-last") for word in scores.words)
        if classes < 1 or (unit == "fractions" and layout.frame is None):
            return None
        likely = Certainty.UNSURE if scores.rivals else Certainty.LIKELY
        return Reading(
            layout=layout, class_count=classes,
            certainty=likely if asked is None or scores.rivals else Certainty.CERTAIN,
            reason=f"boxes [N, {_outputs.column(seen.outputs[pair.boxes].shape[1], 'A')}, 4] and scores "
            f"[.., {pair.columns}], as SSD and RetinaNet have: boxes are {_pairs.say(words)}; "
            f"{scores.why}{_outputs.ignored(seen, layout.outputs)}",
            rivals=tuple(f"ssd,{','.join(words)}" for words in scores.rivals),
        )  # fmt: skip

    def anchor_axis(self, layout: Layout) -> int:  # noqa: ARG002
        """The first after the batch."""
        return 1

    def expects(self) -> str:
        """Two outputs."""
        return "float outputs [N, anchors, 4] and [N, anchors, classes]"

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """Boxes to pixels; the best class of each anchor."""
        return _pairs.graph(model, meaning, "raw0", "raw1", _pairs.columns(meaning))

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same in numpy."""
        return _pairs.decode(raw[0], raw[1], meaning)


MEMBER = Ssd()
