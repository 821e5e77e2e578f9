"""Answers held against the truth, as a number with all that belongs to it: ``score``."""

from __future__ import annotations

from dataclasses import replace

from kit.accuracy import metrics, own
from kit.accuracy.answers import Answers
from kit.accuracy.metrics.interface import Objects, Sums, Tally
from kit.accuracy.types import ClassScore, Confidences, Score
from kit.accuracy.validation import Validation

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_BINS = 20


def score(
    answers: Answers, validation: Validation, reference: Answers | None = None, metric: own.Own | None = None
) -> Score:
    """Return how good the answers are; without labels, how much they agree with those of the ``reference`` model.

    Where the user has a ``metric`` of their own, that is the value. Raises ``MissingExtraError``, ``MetricError``.
    """
    found = of_tally(tally(answers, validation, reference), answers, validation)
    return found if metric is None else with_own(found, metric, own.value(metric, answers, validation))


def with_own(found: Score, metric: own.Own, value: float) -> Score:
    """Return a score whose value is that of the user's own metric; the task's is among the others."""
    others = {found.metric: found.value, **found.others}
    return replace(found, metric=metric.name, value=value, others=others, agreement=False)


def tally(answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
    """Return the answers held against the truth. Raises ``MissingExtraError``."""
    return metrics.get(answers.head.task).tally(answers, validation, reference)


def of_tally(counted: Tally, answers: Answers, validation: Validation) -> Score:
    """Return the score of what was counted, each picture once."""
    import numpy as np

    sums = counted.at(np.ones((1, len(answers)), np.int64))
    agreement = not counted.labelled
    prefix = "agreement " if agreement else ""
    return Score(
        metric=f"{prefix}{counted.names[0]}",
        value=float(sums.numbers[0, 0]),
        others={name: float(sums.numbers[0, at]) for at, name in enumerate(counted.names) if at},
        classes=_classes(counted, sums, validation),
        confidences=_confidences(counted.objects, answers.head.threshold),
        images=len(answers),
        agreement=agreement,
        notes=_notes(answers),
    )


def _classes(counted: Tally, sums: Sums, validation: Validation) -> tuple[ClassScore, ...]:
    import numpy as np

    return tuple(
        ClassScore(
            index=index,
            name=validation.name_of(index),
            value=None if np.isnan(value) else float(value),
            instances=int(counted.instances[index]),
        )
        for index, value in enumerate(sums.classes[0])
    )


def _confidences(objects: Objects | None, threshold: float | None) -> Confidences | None:
    import numpy as np

    if objects is None or not (objects.scores > 0).any():
        return None
    known = objects.scores[objects.scores > 0]
    quantiles = tuple(float(q) for q in np.quantile(known, QUANTILES))
    histogram = tuple(int(count) for count in np.histogram(known, _BINS, (0, 1))[0])
    if threshold is None:
        return Confidences(quantiles=quantiles, histogram=histogram)
    found = int((objects.scores >= threshold).sum())
    wrong = int((objects.false_alarms >= threshold).sum())
    return Confidences(
        quantiles=quantiles,
        histogram=histogram,
        threshold=threshold,
        found=found / len(objects.scores),
        right=found / (found + wrong) if found + wrong else 1.0,
    )


def _notes(answers: Answers) -> tuple[str, ...]:
    head = answers.head
    if head.threshold is None or head.floor < head.threshold:
        return ()
    served = f"measured with the served threshold {head.threshold:g}"
    return (f"{served}: finds below it are missing, so that mAP is lower than at a threshold of 0.001",)
