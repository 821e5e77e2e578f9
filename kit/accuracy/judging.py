"""Whether a model in a lower precision is good enough: ``judge``.

Nothing here knows what the precision was: two models' answers to the same pictures, and a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kit.accuracy import metrics, own, scoring, showing
from kit.accuracy.answers import Answers
from kit.accuracy.metrics.interface import Tally
from kit.accuracy.types import Budget, ClassDrop, Company, Confidences, Fault, Interval, Score, Shift, Verdict
from kit.accuracy.validation import Validation
from kit.errors import AccuracyError, ValidationSetError

_FEWEST_PAIRS = 10
"""Objects that both models found; of fewer, a median says nothing."""

_QUARTER = 3
"""Times the budget of the median, for a quarter of the scores."""

_FEW_PICTURES = 100
"""Fewer tell a point of mAP from nothing only where it is in every picture."""

_LEAST_VALUE = 0.05
"""Of a task's metric at full precision: below, the labels or the normalisation are not the model's."""

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class _Case:
    """Everything that is looked at."""

    before: Score
    after: Score
    budget: Budget
    drop: Interval
    classes: tuple[ClassDrop, ...]
    shift: Shift | None
    faults: tuple[Fault, ...]
    own_faults: tuple[Fault, ...]
    company: tuple[Company, ...]
    labelled: bool
    is_own: bool

    @property
    def allowed(self) -> float:
        """The budget of the metric."""
        return self.budget.of_metric(agreement=self.before.agreement)

    @property
    def allowed_of_class(self) -> float:
        """The budget of a class."""
        return self.budget.of_class(agreement=not self.labelled)

    @property
    def allowed_served(self) -> float:
        """The budget of what is found, and right, above the served threshold."""
        return self.budget.of_served(agreement=not self.labelled)


def judge(
    before: Answers,
    after: Answers,
    validation: Validation,
    budget: Budget | None = None,
    metric: own.Own | None = None,
) -> Verdict:
    """Hold one model's answers against those of another, the better one, and say why if they are not good enough.

    Without labels the answers ``before`` are taken for right. ``metric`` is the user's own, in place of the task's.
    Raises ``MissingExtraError``, ``MetricError``, and ``ValidationSetError`` where the two are of different tasks or
    pictures.
    """
    if (before.head.task, len(before)) != (after.head.task, len(after)) or len(before) != len(validation):
        raise ValidationSetError("these are answers of different tasks, or to different pictures")
    if before.head.floor != after.head.floor:
        raise ValidationSetError(
            "one model was asked with its served threshold, the other one below it; ask both alike"
        )
    limits = budget or Budget()
    case = _case(before, after, validation, limits, metric)
    reasons = tuple(reason for check in _CHECKS for reason in check(case))
    return Verdict(
        held=not reasons,
        reasons=reasons,
        notes=tuple(note for say in _NOTES for note in say(case)),
        before=case.before,
        after=case.after,
        budget=limits,
        drop=case.drop,
        classes=case.classes,
        shift=case.shift,
        faults=case.faults,
        company=case.company,
        differences=showing.most_different(before, after, validation, metrics.get(before.head.task)),
    )


def require_proof(before: Answers, validation: Validation, metric: own.Own | None = None) -> None:
    """Refuse pictures on which nothing can be proved, before anything is made to be judged on them.

    Raises ``ValidationSetError`` where the model as it was trained is right nowhere, ``AccuracyError`` where its
    outputs are no numbers, and ``MissingExtraError``.
    """
    for fault in before.head.faults:
        raise AccuracyError(
            f"output {fault.output} has NaN or infinite numbers on {fault.pictures} of {len(before)} pictures at full "
            "precision already: the model itself is at fault, and no lower precision can be judged"
        )
    found = scoring.score(before, validation, before)
    if metric is None and found.value < _LEAST_VALUE:
        raise ValidationSetError(_unproved(found))


def _unproved(found: Score) -> str:
    here = f"on these {found.images} pictures, so that nothing can be lost"
    if found.agreement:
        return f"at full precision already nothing is found {here}: give pictures of what the model was trained for"
    value = f"{found.metric} is {found.value:.3f}"
    return f"at full precision already {value} {here}: do the labels, their classes, --mean and --std fit the model?"


def _case(before: Answers, after: Answers, validation: Validation, budget: Budget, metric: own.Own | None) -> _Case:
    from kit.accuracy import bootstrap

    first, second = (scoring.tally(answers, validation, before) for answers in (before, after))
    lost = bootstrap.drops(first, second, len(validation))
    scores = [scoring.of_tally(t, a, validation) for t, a in ((first, before), (second, after))]
    drop, classes = lost.metric, tuple(_class_drops(scores[0], scores[1], lost.classes, budget))
    if metric is not None:
        values = [own.value(metric, answers, validation) for answers in (before, after)]
        scores = [scoring.with_own(found, metric, value) for found, value in zip(scores, values, strict=True)]
        drop = own.drop(metric, before, after, validation, values[0] - values[1])
    return _Case(
        before=scores[0],
        after=scores[1],
        budget=budget,
        drop=drop,
        classes=classes,
        shift=_shift(first, second),
        faults=after.head.faults,
        own_faults=before.head.faults,
        company=after.head.company,
        labelled=first.labelled,
        is_own=metric is not None,
    )


def _class_drops(before: Score, after: Score, lost: tuple[Interval | None, ...], budget: Budget) -> Iterator[ClassDrop]:
    for first, second, drop in zip(before.classes, after.classes, lost, strict=True):
        if first.value is None or second.value is None or drop is None:
            continue
        yield ClassDrop(
            index=first.index,
            name=first.name,
            instances=first.instances,
            before=first.value,
            after=second.value,
            drop=drop,
            held=first.instances >= budget.least_instances,
        )


def _shift(before: Tally, after: Tally) -> Shift | None:
    """Return how the scores of objects moved that both models found."""
    import numpy as np

    if before.objects is None or after.objects is None:
        return None
    first, second = before.objects.scores, after.objects.scores
    both = (first > 0) & (second > 0)
    if not both.any():
        return None
    moved = np.quantile(second[both] - first[both], scoring.QUANTILES)
    return Shift(pairs=int(both.sum()), quantiles=tuple(float(q) for q in moved))


def _sound(case: _Case) -> Iterator[str]:
    """No number that is none; those of the better model are its own fault."""
    own = {fault.output for fault in case.own_faults}
    for fault in case.faults:
        whose = ", and at full precision too: the model itself is at fault" if fault.output in own else ""
        many = f"{fault.pictures} of {case.after.images} pictures"
        yield f"output {fault.output} has NaN or infinite numbers on {many}{whose}"


def _proving(case: _Case) -> Iterator[str]:
    """A model that is right nowhere loses nothing: that proves nothing either."""
    if case.before.value < _LEAST_VALUE and not case.is_own:
        yield _unproved(case.before)


def _metric_held(case: _Case) -> Iterator[str]:
    if not case.drop.point <= case.allowed:
        yield (
            f"{case.after.metric} falls from {case.before.value:.3f} to {case.after.value:.3f}: "
            f"{_points(case.drop.point)}, {_points(case.allowed)} allowed ({_spread(case.drop)})"
        )


def _others_held(case: _Case) -> Iterator[str]:
    """What is told beside the metric is held like it: mAP50, top-5, mAP of boxes beside that of masks."""
    for name, value in case.after.others.items() if not case.is_own else ():
        lost = case.before.others.get(name, value) - value
        if lost > case.allowed:
            yield (
                f"{name} falls from {case.before.others[name]:.3f} to {value:.3f}: {_points(lost)}, "
                f"{_points(case.allowed)} allowed"
            )


def _classes_held(case: _Case) -> Iterator[str]:
    """A class must have lost more than its budget, and surely something: of few objects, chance moves a class far."""
    failed = [c for c in case.classes if c.held and c.drop.point > case.allowed_of_class and c.drop.low > 0]
    failed.sort(key=lambda c: -c.drop.point)
    for one in failed[:_NAMED]:
        yield (
            f"class {one.name} falls from {one.before:.3f} to {one.after:.3f}: {_points(one.drop.point)}, "
            f"{_points(case.allowed_of_class)} allowed ({_spread(one.drop)}, {one.instances} objects)"
        )
    if len(failed) > _NAMED:
        yield f"{len(failed) - _NAMED} more classes lose more than {_points(case.allowed_of_class)}"


def _confidence_held(case: _Case) -> Iterator[str]:
    shift, allowed = case.shift, case.budget.confidence_shift
    if shift is not None and shift.pairs >= _FEWEST_PAIRS and abs(shift.median) > allowed:
        before, after = case.before.confidences, case.after.confidences
        middle = "" if before is None or after is None else f", from {_middle(before):.2f} to {_middle(after):.2f}"
        yield (
            f"the scores of what is found moved by {shift.median:+.2f} in the middle{middle}; {allowed:g} is allowed: "
            "a threshold would no longer mean the same"
        )


def _quarter_held(case: _Case) -> Iterator[str]:
    """The middle may stand while many fall: a quarter of the scores may not move three times as far."""
    shift, allowed = case.shift, _QUARTER * case.budget.confidence_shift
    if shift is None or shift.pairs < _FEWEST_PAIRS or abs(shift.median) > case.budget.confidence_shift:
        return
    for quarter, word in ((shift.quantiles[1], "fell"), (shift.quantiles[3], "rose")):
        if (quarter < 0) == (word == "fell") and abs(quarter) > allowed:
            far = f"by {abs(quarter):.2f} or more; {allowed:.2g} is allowed"
            yield f"a quarter of the scores of what is found {word} {far}"


def _served_held(case: _Case) -> Iterator[str]:
    before, after = case.before.confidences, case.after.confidences
    if before is None or before.threshold is None:
        return
    if after is None:
        yield f"nothing is found any more, of {before.found or 0:.1%} above the served threshold {before.threshold:g}"
        return
    assert before.found is not None
    assert after.found is not None
    assert before.right is not None
    assert after.right is not None
    allowed = case.allowed_served
    at = f"above the served threshold {before.threshold:g}"
    rest = f"before; {_points(allowed)} are allowed"
    if before.found - after.found > allowed:
        yield f"{at} {after.found:.1%} of the objects are found, {before.found:.1%} {rest}"
    if before.right - after.right > allowed:
        yield f"{at} {after.right:.1%} of the finds are right, {before.right:.1%} {rest}"


def _company_held(case: _Case) -> Iterator[str]:
    worst = max(case.company, key=lambda one: one.difference, default=None)
    if worst is not None and worst.difference > case.budget.batch_difference:
        yield (
            f"an answer changes by {worst.difference:.2g} with what else is in a batch of {worst.batch}, allowed "
            f"{case.budget.batch_difference:g}: Triton puts strangers into one batch"
        )


def _doubt(case: _Case) -> Iterator[str]:
    """Say where other pictures might have decided otherwise."""
    sure = case.drop.high <= case.allowed or case.drop.low > case.allowed
    if not sure:
        yield (
            f"not sure: the drop lies between {_points(case.drop.low)} and {_points(case.drop.high)}, the budget of "
            f"{_points(case.allowed)} in between, by {case.after.images} pictures; give more"
        )


def _few(case: _Case) -> Iterator[str]:
    if case.after.images < _FEW_PICTURES:
        yield f"judged on {case.after.images} pictures only; 300 tell a point of mAP, 1,000 are better"


def _unheld(case: _Case) -> Iterator[str]:
    few = [c for c in case.classes if not c.held]
    if few:
        some = ", ".join(f"{c.name} ({c.instances})" for c in few[:_NAMED])
        more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
        yield (
            f"{len(few)} of {len(case.classes)} classes have fewer than {case.budget.least_instances} objects and are "
            f"held to no budget of their own: {some}{more}"
        )


_CHECKS: tuple[Callable[[_Case], Iterator[str]], ...] = (
    _sound, _proving, _metric_held, _others_held, _classes_held, _confidence_held, _quarter_held, _served_held,
    _company_held,
)  # fmt: skip
_NOTES: tuple[Callable[[_Case], Iterator[str]], ...] = (_doubt, _few, _unheld)


def _middle(confidences: Confidences) -> float:
    return confidences.quantiles[len(confidences.quantiles) // 2]


def _points(fraction: float) -> str:
    return f"{100 * fraction:.2f} points"


def _spread(drop: Interval) -> str:
    return f"95 % interval {100 * drop.low:.2f} to {100 * drop.high:.2f}"
