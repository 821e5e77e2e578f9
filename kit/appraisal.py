"""What was measured of lower precisions, as the quality report and the manifest tell it."""

from __future__ import annotations

import io
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace

from kit import __version__, precision
from kit.accuracy.types import ClassDrop, Find, Score, Verdict
from kit.accuracy.types import Interval as Spread
from kit.accuracy.types import Sample as Apart
from kit.cache import tool_version
from kit.fallback import Step as Taken
from kit.inputs import read_image
from kit.latency import Beside
from kit.lowering import Lowering, Trial
from kit.manifest import AccuracyRecord
from kit.pictures import Pictures
from kit.precision.interface import TRAINED_BITS
from kit.quality.values import (
    Box,
    CalibrationQuality,
    ClassQuality,
    Distribution,
    Interval,
    Quality,
    Sample,
    Step,
    TargetQuality,
    Timing,
    TrialQuality,
)
from kit.types import Spec

_DIGITS = 4
_JPEG_QUALITY = 80
_MOST_SAMPLES = 6


def record(made: Lowering) -> AccuracyRecord | None:
    """Return what the manifest says of a target's precision; None where it is that of the training."""
    trial = made.chosen
    if (verdict := trial.verdict) is None or trial.lowered is None:
        return None
    return AccuracyRecord(
        metric=verdict.after.metric,
        agreement=verdict.after.agreement,
        images=verdict.after.images,
        before=round(verdict.before.value, _DIGITS),
        after=round(verdict.after.value, _DIGITS),
        low=round(verdict.drop.low, _DIGITS),
        high=round(verdict.drop.high, _DIGITS),
        method=trial.lowered.method,
        reverted=trial.reverted,
    )


def quality(
    spec: Spec, task: str, pictures: Pictures, made: Mapping[str, Lowering], wanted: Mapping[str, str]
) -> Quality:
    """Return all that was measured; ``wanted`` is the precision that each target was to get."""
    names = {tool for name in precision.names() for tool in precision.get(name).tools}
    return Quality(
        name=spec.name,
        kit=__version__,
        source=spec.source,
        task=task,
        validation=f"{spec.validation or spec.calibration}, {len(pictures.validation)} pictures",
        validation_warnings=pictures.notes,
        calibration=_calibration(pictures),
        targets=tuple(_target(lowering, wanted[name]) for name, lowering in made.items()),
        tools={name: tool_version(name) for name in sorted(names)},
        machine=f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    )


def _calibration(pictures: Pictures) -> CalibrationQuality | None:
    if pictures.calibration is None:
        return None
    seen = pictures.calibration.coverage
    return CalibrationQuality(
        source=pictures.source,
        chosen=len(pictures.calibration),
        available=seen.candidates,
        covered=seen.variety,
        brightness_chosen=seen.brightness_chosen,
        brightness_available=seen.brightness,
        warnings=pictures.calibration.warnings,
    )


def _target(made: Lowering, wanted: str) -> TargetQuality:
    tried = {trial.precision for trial in made.trials}
    rest = [level.name for level in precision.ladder(wanted) if level.name not in tried]
    why = (f"{made.chosen.precision} holds, which is lower",)
    untried = (
        TrialQuality(precision=name, chosen=False, held=True, bytes_after=made.chosen.before)
        if precision.get(name).bits >= TRAINED_BITS
        else TrialQuality(precision=name, chosen=False, held=False, tried=False, reasons=why)
        for name in rest
    )
    return TargetQuality(
        target=made.target,
        runtime=made.runtime,
        measured_on=made.measured_on,
        not_measured=made.not_measured,
        trials=(*(_trial(trial, chosen=trial is made.chosen) for trial in made.trials), *untried),
    )


def _trial(trial: Trial, *, chosen: bool) -> TrialQuality:
    plain = TrialQuality(
        precision=trial.precision,
        chosen=chosen and trial.held,
        held=trial.held,
        reasons=(*trial.reasons, *trial.notes),
        bytes_before=trial.before,
        bytes_after=trial.after,
        timings=tuple(_timing(one) for one in trial.timings),
        not_timed=trial.not_timed,
        reverted=trial.reverted,
        steps=tuple(_step(one) for one in trial.steps),
    )
    if (verdict := trial.verdict) is None or trial.lowered is None:
        return plain
    return _with_verdict(plain, trial, verdict)


def _with_verdict(plain: TrialQuality, trial: Trial, verdict: Verdict) -> TrialQuality:
    assert trial.lowered is not None
    budget, agreement = verdict.budget, verdict.after.agreement
    return replace(
        plain,
        method=trial.lowered.method,
        metric=verdict.after.metric,
        agreement=agreement,
        images=verdict.after.images,
        before=verdict.before.value,
        after=verdict.after.value,
        drop=_interval(verdict.drop),
        budget=budget.of_metric(agreement=agreement),
        class_budget=budget.of_class(agreement=agreement),
        others={
            name: (verdict.before.others[name], value)
            for name, value in verdict.after.others.items()
            if name in verdict.before.others
        },
        classes=tuple(_class(one) for one in verdict.classes),
        scores=_scores(verdict.before, verdict.after),
        quantized=len(trial.lowered.groups) - len(trial.reverted),
        kept={kept.reason: len(kept.nodes) for kept in trial.lowered.kept},
        samples=tuple(_sample(one) for one in verdict.differences[:_MOST_SAMPLES]),
    )


def _step(taken: Taken) -> Step:
    outcome = taken.outcome
    return Step(
        reverted=len(taken.reverted), drop=outcome.drop, ratio=outcome.latency, held=outcome.held, kept=taken.kept,
        whole=outcome.whole,
    )  # fmt: skip


def _interval(spread: Spread) -> Interval:
    return Interval(value=spread.point, low=spread.low, high=spread.high)


def _class(lost: ClassDrop) -> ClassQuality:
    return ClassQuality(
        name=lost.name, instances=lost.instances, before=lost.before, after=lost.after, drop=_interval(lost.drop),
        judged=lost.held,
    )  # fmt: skip


def _scores(before: Score, after: Score) -> Distribution | None:
    first, second = before.confidences, after.confidences
    if first is None or second is None:
        return None
    middle = len(first.quantiles) // 2
    return Distribution(
        before=first.histogram,
        after=second.histogram,
        median_before=first.quantiles[middle],
        median_after=second.quantiles[middle],
    )


def _timing(timed: Beside) -> Timing:
    return Timing(
        batch=timed.batch,
        before=timed.first,
        after=timed.second,
        ratio=Interval(value=timed.ratio, low=timed.low, high=timed.high),
    )


def _sample(apart: Apart) -> Sample:
    """Return a picture on which two models differ, as they were shown it."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(read_image(apart.picture.path, apart.frame, 3)).save(held, "JPEG", quality=_JPEG_QUALITY)
    return Sample(
        name=apart.picture.path.name,
        jpeg=held.getvalue(),
        before=_boxes(apart.before),
        after=_boxes(apart.after),
        truth=_boxes(apart.truth),
        words_before=_words(apart.before),
        words_after=_words(apart.after),
        words_truth=_words(apart.truth),
    )


def _boxes(finds: Iterable[Find]) -> tuple[Box, ...]:
    return tuple(
        Box(corners=find.corners, label=find.name, score=find.score or 0.0)
        for find in finds
        if find.corners is not None
    )


def _words(finds: Iterable[Find]) -> str:
    whole = [find for find in finds if find.corners is None]
    return ", ".join(find.name if find.score is None else f"{find.name} {find.score:.2f}" for find in whole)
