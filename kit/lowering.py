"""Which precision a model gets on a target: the lowest of those asked for that is proved to be worth it.

A lower precision is published only where, on the validation set, it holds its budget (``kit.accuracy``), and where it
is measured to be faster, or smaller, by enough. What was tried and refused is kept for the quality report.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kit import accuracy, artifacts, fallback, labels, precision, runners, runtimes
from kit import pictures as material
from kit.accuracy import Answers, Budget, Validation, Verdict, answers, own
from kit.blame.sensitivity import Probe, Some
from kit.cache import Key
from kit.errors import AccuracyError, QuantizationError, UnsupportedModelError
from kit.fallback import Found, Limits, Step
from kit.latency import Beside, beside
from kit.pictures import Pictures
from kit.precision.interface import Ask, Lowered, Precision
from kit.runners.interface import Running
from kit.runtimes.interface import Runtime
from kit.stages import Stages
from kit.types import Artifact, Graphs, Model, Spec, Target

FASTER = 0.9
"""A model is worth what it loses where it takes at most this share of the time, and is no larger ..."""

SMALLER, SLOWER = 0.7, 1.1
"""... or where it has at most the first share of the bytes, and takes at most the second of the time."""

_TRAINED_BITS = 32
_TIMED_S = 2.0

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


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every trial needs. ``pictures`` is None where nothing but the precision of the training is asked for."""

    spec: Spec
    graphs: Graphs
    pictures: Pictures | None
    stages: Stages

    @property
    def budget(self) -> Budget:
        """The spec's, in fractions."""
        return Budget(drop=self.spec.max_drop / 100, class_drop=self.spec.max_class_drop / 100)


def choose(bench: Bench, target: Target, wanted: str) -> Lowering:
    """Return what ``target`` gets of the precisions that ``wanted`` stands for.

    The last trial is not ``held`` where the only precision that was asked for does not hold its budget: nothing may
    be published then. Raises what making a model in a precision raises.
    """
    runtime, trials = runtimes.choose(target, bench.spec.runtime), []
    for level in precision.ladder(wanted):
        start = time.perf_counter()
        trials.append(trial := _try(bench, target, runtime, level, alone=wanted == level.name))
        if bench.pictures is not None:
            bench.stages.finished(f"{level.name} {target.name}", _outcome(trial), start)
        if trial.held:
            break
    place = _Place.of(target, runtime)
    return Lowering(
        target=target.name,
        runtime=runtime.name,
        measured_on=place.words,
        not_measured=place.lacks,
        trials=tuple(trials),
    )


def _try(bench: Bench, target: Target, runtime: Runtime, level: Precision, *, alone: bool) -> Trial:
    if level.bits >= _TRAINED_BITS:
        lowered = _lowered(bench, target, runtime, level, frozenset())
        return Trial(
            precision=level.name,
            held=True,
            lowered=lowered,
            artifact=artifacts.build(lowered.model, target, runtime, bench.stages),
        )
    try:
        return _judged(bench, target, runtime, level)
    except (QuantizationError, UnsupportedModelError) as error:
        if alone:
            raise
        return Trial(precision=level.name, held=False, reasons=(str(error),))


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a target's model is run to be judged: as it will be, or its graph by ONNX Runtime where that cannot be."""

    runner: str
    words: str
    lacks: str = ""

    @property
    def timed(self) -> bool:
        """Whether its times are the target's kind of times."""
        return not self.lacks

    @staticmethod
    def of(target: Target, runtime: Runtime) -> _Place:
        backend = target.backend(runtime.name)
        on_cpu = backend is not None and backend.instance_kind == "KIND_CPU"
        here = platform.machine() in (target.device.architecture, {"x86_64": "AMD64"}.get(target.device.architecture))
        if on_cpu and here and runtime.name in runners.names():
            return _Place(runner=runtime.name, words=f"{runtime.name} on this machine")
        needs = target.device.description if not on_cpu else f"a processor of the kind {target.device.architecture}"
        return _Place(runner="onnxruntime", words="onnxruntime on this machine", lacks=f"speed: needs {needs}")


def _judged(bench: Bench, target: Target, runtime: Runtime, level: Precision) -> Trial:
    """Make the model in a lower precision, and hold it to the budget and to what it is worth."""
    place = _Place.of(target, runtime)
    trained = _lowered(bench, target, runtime, precision.get("fp32"), frozenset())
    before = _answers(bench, target, runtime, trained.model, place)

    def make(reverted: frozenset[str]) -> Lowered:
        return _lowered(bench, target, runtime, level, reverted)

    def judge(model: Model) -> Verdict:
        return _verdict(bench, before, _answers(bench, target, runtime, model, place))

    lowered = make(frozenset())
    verdict, found = judge(lowered.model), None
    if not verdict.held and lowered.groups:
        found = _search(bench, target, runtime, trained.model, make, judge, place)
        lowered = found.lowered
        verdict = judge(lowered.model)
    first, second = (artifacts.build(one.model, target, runtime, bench.stages) for one in (trained, lowered))
    timings = (
        _timed(bench, target, runtime, place, trained.model, lowered.model) if place.timed and verdict.held else ()
    )
    weights = [sum(file.path.stat().st_size for file in artifact.files) for artifact in (first, second)]
    worthless = _worthless(weights[0], weights[1], timings) if verdict.held else ()
    return Trial(
        precision=level.name,
        held=verdict.held and not worthless,
        lowered=lowered,
        artifact=second,
        reasons=(*verdict.reasons, *worthless),
        notes=(*([found.why] if found is not None else []), *verdict.notes),
        verdict=verdict,
        timings=timings,
        not_timed="" if timings else place.lacks or "its accuracy does not hold",
        reverted=found.modules if found is not None else (),
        steps=found.steps if found is not None else (),
        before=weights[0],
        after=weights[1],
    )


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


def _timed(
    bench: Bench, target: Target, runtime: Runtime, place: _Place, first: Model, second: Model
) -> tuple[Beside, ...]:
    """Measure both in turn at batch 1 and 4. What was measured is kept: the same files are judged the same again."""
    assert bench.pictures is not None
    validation, runner = bench.pictures.validation, runners.get(place.runner)

    def work(_: Path) -> tuple[Beside, ...]:
        files = [str(artifacts.build(model, target, runtime, bench.stages).path) for model in (first, second)]
        with bench.stages.progress.working("timing"), ExitStack() as stack:
            before, after = (stack.enter_context(runner.open(file)) for file in files)
            return tuple(_at(size, before, after, validation) for size in sizes)

    sizes = (1, 4) if first.signature.batched else (1,)
    machine = (platform.node(), platform.processor(), os.cpu_count())
    key = Key(
        stage="timing", inputs=(first.digest, second.digest), parameters=(place.runner, sizes, machine),
        tools=runner.tools,
    )  # fmt: skip
    return bench.stages.quietly(key, tuple[Beside, ...], work)


def _search(
    bench: Bench,
    target: Target,
    runtime: Runtime,
    trained: Model,
    make: fallback.Make,
    judge: fallback.Judge,
    place: _Place,
) -> Found:
    """Look for the layers that must stay as they were trained."""
    assert bench.pictures is not None

    def latency(model: Model) -> float:
        return max(timed.ratio for timed in _timed(bench, target, runtime, place, trained, model))

    few = bench.pictures.calibration or bench.pictures.validation
    probe = Probe(model=trained, meaning=bench.graphs.meaning, pictures=Some(pictures=few, most=_FEW))
    seen = (trained.digest, few.digest, bench.pictures.validation.digest)
    identity = hashlib.sha256(repr((seen, bench.budget, bench.spec.metric, place)).encode())
    return fallback.search(
        make,
        judge,
        stages=bench.stages,
        identity=identity.hexdigest(),
        latency=latency if place.timed else None,
        distance=probe.distance,
        hints=probe.hints,
        limits=Limits(slowest=SLOWER if place.timed else None),
        tell=bench.stages.progress.note,
    )


def _at(size: int, first: Running, second: Running, validation: Validation) -> Beside:
    feeds = next(islice(validation.feeds(first.signature, size), 1))
    return beside(lambda: first.run(feeds), lambda: second.run(feeds), batch=size, seconds=_TIMED_S)


def _lowered(bench: Bench, target: Target, runtime: Runtime, level: Precision, reverted: frozenset[str]) -> Lowered:
    """Return the served graph in a precision, from the cache where it was made before."""
    served, lower = bench.graphs.served, level.bits < _TRAINED_BITS
    calibration = bench.pictures.calibration if bench.pictures is not None and lower else None
    ask = Ask(
        model=served, meaning=bench.graphs.meaning, target=target, backend=runtime.name, calibration=calibration,
        reverted=reverted,
    )  # fmt: skip
    digests = (calibration.digest,) if calibration is not None else ()
    facts = (target.device, target.backend(runtime.name), target.stack) if lower else None
    key = Key(
        stage=f"precision {level.name}", inputs=(served.digest, *digests), parameters=(facts, sorted(reverted)),
        tools=level.tools,
    )  # fmt: skip

    def work(folder: Path) -> Lowered:
        with bench.stages.progress.working(f"{level.name} for {target.name}"):
            return level.apply(ask, folder)

    return bench.stages.quietly(key, Lowered, work)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """Answers in a file."""

    path: Path


def _answers(bench: Bench, target: Target, runtime: Runtime, model: Model, place: _Place) -> Answers:
    """Return what a model answers to the validation set, at the lowest threshold."""
    assert bench.pictures is not None
    meaning, validation = bench.graphs.meaning, bench.pictures.validation
    runner = runners.get(place.runner)

    def work(folder: Path) -> _Kept:
        twin = accuracy.evaluation_twin(model, meaning, folder)
        path = artifacts.build(twin, target, runtime, bench.stages).path if place.runner == runtime.name else twin.path
        told = f"showing {len(validation)} pictures to the model for {target.name}"
        with bench.stages.progress.working(told), runner.open(str(path)) as running:
            found = accuracy.measure(running.run, validation, meaning, running.signature)
        found.save(folder / "answers.npz")
        return _Kept(path=folder / "answers.npz")

    key = Key(
        stage="answers", inputs=(model.digest, validation.digest), parameters=(place.runner, meaning),
        tools=("numpy", "pillow", *runner.tools),
    )  # fmt: skip
    return answers.load(bench.stages.quietly(key, _Kept, work).path)


def _verdict(bench: Bench, before: Answers, after: Answers) -> Verdict:
    assert bench.pictures is not None
    metric = own.load(bench.spec.metric) if bench.spec.metric is not None else None
    return accuracy.judge(before, after, bench.pictures.validation, bench.budget, metric=metric)


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


def pictures(spec: Spec, graphs: Graphs, wanted: Iterable[str], stages: Stages) -> Pictures | None:
    """Return the pictures that the precisions need which are asked for; None where these need none.

    Raises as ``kit.pictures.gather`` does.
    """
    levels = [level for word in set(wanted) for level in precision.ladder(word) if level.bits < _TRAINED_BITS]
    if not levels:
        return None
    names = labels.find(spec.labels, graphs.network, graphs.meaning)
    start = time.perf_counter()
    with stages.progress.working("pictures"):
        found = material.gather(spec, graphs.meaning, names, calibrated=any(level.calibrated for level in levels))
    stages.finished("pictures", _told(found), start)
    for note in found.notes:
        stages.progress.note(note)
    return found


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
