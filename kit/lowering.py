"""Which precision a model gets on a target: the lowest of those asked for that is proved to be worth it.

A lower precision is published only where, on the validation set, it holds its budget (``kit.accuracy``), and where it
is measured to be faster, or smaller, by enough. What was tried and refused is kept for the quality report.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit import fallback, labels, precision
from kit import pictures as material
from kit.bench import Bench
from kit.errors import AccuracyError, QuantizationError, UnsupportedModelError
from kit.fallback import Found, Limits, Step
from kit.latency import Beside
from kit.pictures import Pictures
from kit.precision.interface import TRAINED_BITS, Lowered, Precision
from kit.stages import Stages
from kit.types import Artifact, Graphs, Model, Spec

if TYPE_CHECKING:
    from kit.accuracy import Validation, Verdict
    from kit.calibration import CalibrationSet

FASTER = 0.9
"""A model is worth what it loses where it takes at most this share of the time, and is no larger ..."""

SMALLER, SLOWER = 0.7, 1.1
"""... or where it has at most the first share of the bytes, and takes at most the second of the time."""

_FEW = 24
"""Pictures on which groups are tried alone: what is published is judged on all."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One precision on one target. ``reasons`` are sentences: why it was refused; ``notes``: what is not sure.

    ``before`` and ``after`` are the bytes of its files in the precision of the training and in this one;
    ``timings`` the same of its times, and ``not_timed`` why there are none.
    """

    precision: str
    held: bool
    lowered: Lowered | None = None
    artifact: Artifact | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdict: Verdict | None = None
    timings: tuple[Beside, ...] = ()
    not_timed: str = ""
    reverted: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    before: int = 0
    after: int = 0


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """What was tried for a target, in order; the last is what it gets, if that is ``held``."""

    target: str
    runtime: str
    measured_on: str
    not_measured: str
    trials: tuple[Trial, ...]

    @property
    def chosen(self) -> Trial:
        """The precision that is published."""
        return self.trials[-1]

    @property
    def artifact(self) -> Artifact:
        """The file that Triton loads."""
        assert self.chosen.artifact is not None
        return self.chosen.artifact

    @property
    def model(self) -> Model:
        """The graph that it is of."""
        assert self.chosen.lowered is not None
        return self.chosen.lowered.model


def choose(bench: Bench, wanted: str) -> Lowering:
    """Return what the bench's target gets of the precisions that ``wanted`` stands for.

    The last trial is not ``held`` where the only precision that was asked for does not hold its budget: nothing may
    be published then. Raises what making a model in a precision raises.
    """
    trials: list[Trial] = []
    for level in precision.ladder(wanted):
        start = time.perf_counter()
        trials.append(trial := _try(bench, level, alone=wanted == level.name))
        if bench.pictures is not None:
            bench.stages.finished(f"{level.name} {bench.target.name}", _outcome(trial), start)
        if trial.held:
            break
    return Lowering(
        target=bench.target.name,
        runtime=bench.runtime.name,
        measured_on=bench.place.words,
        not_measured=bench.place.lacks,
        trials=tuple(trials),
    )


def _try(bench: Bench, level: Precision, *, alone: bool) -> Trial:
    if level.bits >= TRAINED_BITS:
        lowered = bench.lowered(level)
        return Trial(precision=level.name, held=True, lowered=lowered, artifact=bench.built(lowered.model))
    try:
        return _judged(bench, level)
    except (QuantizationError, UnsupportedModelError) as error:
        if alone:
            raise
        return Trial(precision=level.name, held=False, reasons=(str(error),))


def _judged(bench: Bench, level: Precision) -> Trial:
    """Make the model in a lower precision, and hold it to the budget and to what it is worth."""
    trained = bench.lowered(_trained()).model
    bench.require_proof(trained)
    lowered, found = bench.lowered(level), None
    verdict = bench.verdict(trained, lowered.model)
    if not verdict.held and lowered.groups:
        found = _search(bench, level, trained)
        lowered = found.lowered
        verdict = bench.verdict(trained, lowered.model)
    artifact = bench.built(lowered.model)
    before, after = (_bytes(one) for one in (bench.built(trained), artifact))
    timings = bench.timed(trained, lowered.model) if verdict.held else ()
    worthless = _worthless(before, after, timings) if verdict.held else ()
    return Trial(
        precision=level.name,
        held=verdict.held and not worthless,
        lowered=lowered,
        artifact=artifact,
        reasons=(*verdict.reasons, *worthless),
        notes=(*([found.why] if found is not None else []), *verdict.notes),
        verdict=verdict,
        timings=timings,
        not_timed="" if timings else bench.place.lacks or "its accuracy does not hold",
        reverted=found.modules if found is not None else (),
        steps=found.steps if found is not None else (),
        before=before,
        after=after,
    )


def _trained() -> Precision:
    """Return the precision that changes nothing."""
    return max((precision.get(name) for name in precision.names()), key=lambda level: level.bits)


def _bytes(artifact: Artifact) -> int:
    return sum(file.path.stat().st_size for file in artifact.files)


def _search(bench: Bench, level: Precision, trained: Model) -> Found:
    """Look for the layers that must stay as they were trained."""
    from kit.blame.sensitivity import Probe

    assert bench.pictures is not None
    timed, part = not bench.place.lacks, bench.part
    few = _some(bench.pictures)
    probe = Probe(model=trained, meaning=bench.graphs.meaning, pictures=few)
    agreement = bench.validation.truth is None
    return fallback.search(
        lambda reverted: bench.lowered(level, reverted),
        lambda model: bench.verdict(trained, model),
        stages=bench.stages,
        identity=f"{bench.identity(trained)} {few.digest}",
        latency=(lambda model: _slowest(bench.timed(trained, model))) if timed else None,
        brief=lambda model: _slowest(bench.timed(trained, model, briefly=True)),
        glance=None if part is None else lambda model: bench.verdict(trained, model, part),
        distance=probe.distance,
        hints=probe.hints,
        limits=Limits(slowest=SLOWER if timed else None, allowed=bench.budget.of_metric(agreement=agreement)),
        tell=bench.stages.progress.note,
    )


def _some(found: Pictures) -> CalibrationSet | Validation:
    """Return a few pictures that show much: those that were chosen first, else some from all over."""
    if found.calibration is not None:
        return found.calibration.first(_FEW)
    whole = found.validation
    count = min(_FEW, len(whole))
    return whole.only(frozenset(whole.pictures[index * len(whole) // count].digest for index in range(count)))


def _slowest(timings: tuple[Beside, ...]) -> float:
    return max(one.ratio for one in timings)


def _worthless(before: int, after: int, timings: tuple[Beside, ...]) -> tuple[str, ...]:
    """Say why a model is not worth its loss; nothing where it is."""
    size = after / before
    if not timings:
        return () if size <= SMALLER else (f"it has {size:.0%} of the size, and its speed cannot be measured here",)
    slower = any(timing.low > SLOWER for timing in timings)  # not merely by chance
    faster = min(timing.ratio for timing in timings) <= FASTER and size <= 1
    if not slower and (faster or size <= SMALLER):
        return ()
    told = ", ".join(f"{timing.ratio:.2f} at batch {timing.batch}" for timing in timings)
    wanted = f"{FASTER:g} of the time, or {SMALLER:.0%} of the size at no more than {SLOWER:g} of the time"
    return (f"it takes {told} of the time and {size:.0%} of the size; worth it would be {wanted}",)


def _outcome(trial: Trial) -> str:
    """Say in a line what came of a trial."""
    if (verdict := trial.verdict) is None:
        return "; ".join(trial.reasons) or "as it was trained"
    lost = verdict.drop
    metric = f"{verdict.after.metric} {verdict.before.value:.3f} -> {verdict.after.value:.3f}"
    said = [
        f"{metric} ({-100 * lost.point:+.1f} points, {-100 * lost.high:+.1f} to {-100 * lost.low:+.1f})",
        f"{trial.after / trial.before:.0%} of the size",
        *(f"{timing.ratio:.2f} of the time at batch {timing.batch}" for timing in trial.timings),
        *([f"{len(trial.reverted)} modules in float"] if trial.reverted else []),
    ]
    return f"{'held' if trial.held else 'REFUSED'}: {', '.join(said)}{''.join(f'; {r}' for r in trial.reasons)}"


def require(spec: Spec, wanted: Iterable[str]) -> None:
    """Find the pictures that the precisions which are asked for lack, before any work.

    Raises ``UsageError`` and ``UnknownPrecisionError``.
    """
    for word in dict.fromkeys(wanted):
        if levels := _lower([word]):
            material.require(spec, word, calibrated=any(level.calibrated for level in levels))


def pictures(spec: Spec, graphs: Graphs, wanted: Iterable[str], stages: Stages) -> Pictures | None:
    """Return the pictures that the precisions need which are asked for; None where these need none.

    Raises as ``kit.pictures.gather`` does.
    """
    if not _lower(wanted):
        return None
    names = labels.find(spec.labels, graphs.network, graphs.meaning)
    start = time.perf_counter()
    with stages.progress.working("looking at pictures"):
        found = material.gather(spec, graphs.meaning, names)
    stages.finished("pictures", _told(found), start)
    for note in found.notes:
        stages.progress.note(note)
    return found


def _lower(wanted: Iterable[str]) -> list[Precision]:
    """Return those of the precisions that are lower than that of the training."""
    return [level for word in set(wanted) for level in precision.ladder(word) if level.bits < TRAINED_BITS]


def _told(found: Pictures) -> str:
    judged = f"{len(found.validation)} to judge on"
    if found.calibration is None:
        return judged
    seen = found.calibration.coverage
    return (
        f"{len(found.calibration)} of {seen.candidates} to calibrate on, {seen.variety:.0%} of their variety; {judged}"
    )


def require_held(made: Mapping[str, Lowering], page: Path | None) -> None:
    """Raise ``AccuracyError`` where a target cannot have the only precision that was asked for."""
    for lowering in made.values():
        if not (last := lowering.chosen).held:
            where = f"; all that was measured: {page}" if page is not None else ""
            raise AccuracyError(
                f"{last.precision} is refused for {lowering.target}: {'; '.join(last.reasons)}{where}; give "
                "--precision auto for the lowest that holds, or another --max-drop"
            )
