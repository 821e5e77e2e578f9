"""The metric of both models on a validation set, the second held against the first: ``kit.evaluation``."""

from __future__ import annotations

from pathlib import Path

from kit import evaluation
from kit.blame.values import Metric
from kit.progress import Progress
from kit.types import Spec


def measure(first: str, second: str, validation: Path, progress: Progress) -> Metric:
    """Show the pictures to both. Raises as ``kit.evaluation.evaluate`` does."""
    (plain, _), (other, weights) = (_split(reference) for reference in (first, second))
    spec = Spec(source=other, name="model", targets=(), weights=weights or _split(first)[1])
    found = evaluation.evaluate(evaluation.Asked(spec=spec, validation=validation, against=plain), progress)
    verdict = found.verdict
    assert verdict is not None
    before = {one.index: one for one in verdict.before.classes}
    return Metric(
        name=verdict.after.metric,
        first=verdict.before.value,
        second=verdict.after.value,
        low=-verdict.drop.high,
        high=-verdict.drop.low,
        images=found.pictures,
        classes=tuple(
            (one.name, before[one.index].value or 0.0, one.value)
            for one in verdict.after.classes
            if one.value is not None and one.index in before
        ),
        notes=(*verdict.reasons, *found.notes),
    )


def _split(reference: str) -> tuple[str, str | None]:
    """Return a reference without what stands behind its ``?``, and the weights that are named there."""
    plain, _, query = reference.partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&") if part)
    return plain, options.get("weights")
