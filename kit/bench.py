"""Where models of one target are made and measured: everything that is made or seen there is kept in the cache."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from kit import artifacts, runners
from kit.cache import Key
from kit.latency import Beside, beside
from kit.pictures import Pictures
from kit.precision.interface import TRAINED_BITS, Ask, Lowered, Precision
from kit.runners.interface import Running
from kit.runtimes.interface import Runtime
from kit.stages import Stages
from kit.targets.values import Target
from kit.types import Artifact, Graphs, Model, Spec

if TYPE_CHECKING:
    from kit.accuracy import Answers, Budget, Validation, Verdict
    from kit.accuracy.own import Own
    from kit.calibration import CalibrationSet

_TIMED_S, _BRIEFLY_S = 2.0, 0.3
"""How long models are timed beside each other, for each batch; and where a search only asks which way to go."""

_PART = 100
"""Validation pictures that are shown first to a model which may be no good."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a target's model is run: as it will be, or its graph by ONNX Runtime where that cannot be.

    ``lacks`` says what is then not measured, and why.
    """

    runner: str
    words: str
    lacks: str = ""


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """Answers in a file."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class Bench:
    """For one target and runtime. ``pictures`` is None where only the precision of the training is asked for."""

    spec: Spec
    graphs: Graphs
    pictures: Pictures | None
    target: Target
    runtime: Runtime
    stages: Stages

    @property
    def budget(self) -> Budget:
        """The spec's, in fractions."""
        from kit.accuracy import Budget

        return Budget(drop=self.spec.max_drop / 100, class_drop=self.spec.max_class_drop / 100)

    @property
    def validation(self) -> Validation:
        """The pictures to judge on, which must be there."""
        assert self.pictures is not None
        return self.pictures.validation

    @property
    def largest(self) -> int:
        """The largest batch that Triton may put together: strangers in it must not change an answer."""
        asked = self.spec.max_batch_size
        return max(1, self.target.defaults.max_batch_size if asked is None else asked)

    @functools.cached_property
    def place(self) -> Place:
        """Where models are run here."""
        backend, device = self.target.backend(self.runtime.name), self.target.device
        on_cpu = backend is not None and backend.instance_kind == "KIND_CPU"
        here = platform.machine() in (device.architecture, {"x86_64": "AMD64"}.get(device.architecture))
        if on_cpu and here and self.runtime.name in runners.names():
            return Place(runner=self.runtime.name, words=f"{self.runtime.title} on this machine")
        needs = f"a processor of the kind {device.architecture}" if on_cpu else device.description
        return Place(runner="onnxruntime", words="ONNX Runtime on this machine", lacks=f"speed: needs {needs}")

    def lowered(self, level: Precision, reverted: frozenset[str] = frozenset()) -> Lowered:
        """Return the served graph in a precision. Raises as ``Precision.apply`` does."""
        served, lower = self.graphs.served, level.bits < TRAINED_BITS
        calibration, held_out = self._calibration if lower else (None, None)
        ask = Ask(
            model=served, meaning=self.graphs.meaning, target=self.target, backend=self.runtime.name,
            calibration=calibration, held_out=held_out, reverted=reverted,
        )  # fmt: skip
        digests = tuple(part.digest for part in (calibration, held_out) if part is not None)
        facts = (self.target.device, self.target.backend(self.runtime.name), self.target.stack) if lower else None
        key = Key(
            stage=f"precision {level.name}", inputs=(served.digest, *digests), parameters=(facts, sorted(reverted)),
            tools=level.tools,
        )  # fmt: skip

        def work(folder: Path) -> Lowered:
            with self.stages.progress.working(f"{level.name} for {self.target.name}"):
                return level.apply(ask, folder)

        return self.stages.quietly(key, Lowered, work)

    def built(self, model: Model) -> Artifact:
        """Return what Triton loads of a model."""
        return artifacts.build(model, self.target, self.runtime, self.stages)

    def require_proof(self, trained: Model) -> None:
        """Refuse a validation set on which nothing can be proved. Raises ``ValidationSetError``, ``AccuracyError``."""
        from kit import accuracy

        accuracy.require_proof(self._answers(trained, self.validation), self.validation, self._metric)

    def verdict(self, before: Model, after: Model, among: Validation | None = None) -> Verdict:
        """Hold a model's answers to the validation set, or some of it, against those of a better one."""
        from kit import accuracy

        shown = among or self.validation
        first, second = self._answers(before, shown), self._answers(after, shown)
        return accuracy.judge(first, second, shown, self.budget, metric=self._metric)

    @functools.cached_property
    def part(self) -> Validation | None:
        """A part of the validation set, from all over it; None where that would hardly be less.

        None too for the user's own metric, which may mean something on all of them alone.
        """
        whole = self.validation
        if len(whole) < 2 * _PART or self.spec.metric is not None:
            return None
        return whole.only(frozenset(whole.pictures[index * len(whole) // _PART].digest for index in range(_PART)))

    def timed(self, before: Model, after: Model, *, briefly: bool = False) -> tuple[Beside, ...]:
        """Time both in turn, at batch 1 and the largest; nothing where that is not the target's speed.

        What was measured is kept: the same models are judged the same again. ``briefly`` is at batch 1 alone.
        """
        if self.place.lacks:
            return ()
        sizes = tuple(sorted({1, self.largest})) if before.signature.batched and not briefly else (1,)
        seconds = _BRIEFLY_S if briefly else _TIMED_S
        runner, machine = runners.get(self.place.runner), (platform.node(), platform.processor(), os.cpu_count())

        def work(_: Path) -> tuple[Beside, ...]:
            files = [str(self.built(model).path) for model in (before, after)]
            with self.stages.progress.working("timing"), ExitStack() as stack:
                first, second = (stack.enter_context(runner.open(file)) for file in files)
                return tuple(_at(size, first, second, self.validation, seconds) for size in sizes)

        key = Key(
            stage="timing", inputs=(before.digest, after.digest), parameters=(self.place, sizes, machine, seconds),
            tools=runner.tools,
        )  # fmt: skip
        return self.stages.quietly(key, tuple[Beside, ...], work)

    def identity(self, trained: Model) -> str:
        """Return a digest of all that verdicts and times depend on besides the model that is judged."""
        parts = (trained.digest, self.validation.digest, self.budget, self.spec.metric, self.place, self.target.name)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @functools.cached_property
    def _calibration(self) -> tuple[CalibrationSet | None, CalibrationSet | None]:
        """The pictures that ranges are taken from, and those on which ways to choose them are compared."""
        chosen = None if self.pictures is None else self.pictures.calibration
        return (None, None) if chosen is None else chosen.divided()

    @functools.cached_property
    def _metric(self) -> Own | None:
        """The user's own, imported once for all that is judged."""
        from kit import accuracy

        return None if self.spec.metric is None else accuracy.own_metric(self.spec.metric)

    def _answers(self, model: Model, validation: Validation) -> Answers:
        """Return what a model answers to pictures of the validation set, at the lowest threshold."""
        from kit import accuracy
        from kit.accuracy import answers

        meaning, runner = self.graphs.meaning, runners.get(self.place.runner)

        def work(folder: Path) -> _Kept:
            twin = accuracy.evaluation_twin(model, meaning, folder)
            path = self.built(twin).path if self.place.runner == self.runtime.name else twin.path
            told = f"showing {len(validation)} pictures to the model for {self.target.name}"
            with self.stages.progress.working(told), runner.open(str(path)) as running:
                found = accuracy.measure(running.run, validation, meaning, running.signature, largest=self.largest)
            found.save(folder / "answers.npz")
            return _Kept(path=folder / "answers.npz")

        key = Key(
            stage="answers", inputs=(model.digest, validation.digest), parameters=(self.place, meaning, self.largest),
            tools=("numpy", "pillow", *runner.tools),
        )  # fmt: skip
        return answers.load(self.stages.quietly(key, _Kept, work).path)


def _at(size: int, first: Running, second: Running, validation: Validation, seconds: float) -> Beside:
    feeds = next(islice(validation.feeds(first.signature, size), 1))
    return beside(lambda: first.run(feeds), lambda: second.run(feeds), batch=size, seconds=seconds)
