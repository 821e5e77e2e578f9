"""Which layers a lower precision must leave as they are to hold its budget: searched for greedily, ADR 16.

    found = fallback.search(make, judge, stages=stages, identity=digest, distance=distance, latency=latency, tell=tell)

Groups are ranked by what reverting each alone gives back to the answers on a few pictures, for the time that it costs;
they are reverted in that order, ever more at a time, and judged on the whole validation set. What made it worse is
taken back and the rest ranked anew; once the budget holds, whatever can be lowered after all is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from kit.cache import Key
from kit.precision.interface import Group, Lowered
from kit.stages import Stages
from kit.types import Model

T = TypeVar("T")

_SAME_DROP = 1e-4
"""A hundredth of a point: a drop that grew by less is no worse."""

_HARDLY = 0.002
"""A fifth of the usual budget: for less, a group is not left in float without a gain of time."""

_LEAST_COST = 0.01
"""Of the latency's ratio: smaller differences are the clock's."""

_CLEAR = 0.05
"""Share of what the answers lost; what gives back less gave it back by chance."""


class Interval(Protocol):
    """A measured number with its bounds: ``kit.accuracy``'s."""

    @property
    def point(self) -> float:
        """Return the number itself."""


class Judgement(Protocol):
    """What is asked of a verdict: ``kit.accuracy.Verdict`` has it."""

    @property
    def held(self) -> bool:
        """Return whether every budget holds."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why not, a sentence each."""

    @property
    def drop(self) -> Interval:
        """Return what was lost of the metric."""


Make = Callable[[frozenset[str]], Lowered]
"""Lowers a model but for the groups of these names. It is called often with the same: it should keep its results."""

Judge = Callable[[Model], Judgement]
Distance = Callable[[Model], float]
"""How far a model's answers are from those of the original on a few pictures; 0 is the same."""

Latency = Callable[[Model], float]
"""A model's time by that of the original: below 1 is faster."""


Unit = frozenset[str]
"""Groups that are reverted together."""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a look inside a lowered model tells: ``kit.blame.sensitivity`` has it.

    ``noise`` is each group's own SQNR in dB. ``readers`` are the groups that read what a group gives: between two that
    are lowered there is one quantised tensor, which stays where only one of them is reverted.
    """

    noise: Mapping[str, float] = field(default_factory=dict)
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to give up. ``slowest`` is the latency's ratio at which a lower precision is no longer worth it.

    ``judgements`` bounds how often the whole validation set is asked, ``trials`` how many of the noisiest groups are
    tried alone.
    """

    slowest: float | None = None
    judgements: int = 40
    trials: int = 24


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A verdict in short; ``latency`` is the ratio to the original, None where it was not measured."""

    held: bool
    drop: float
    reasons: tuple[str, ...] = ()
    latency: float | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that was judged: the groups that were reverted, what came of it, and whether it was built on."""

    reverted: tuple[str, ...]
    outcome: Outcome
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where the search ended. ``lowered`` is the model that holds, else the best that there was.

    ``reverted`` are the groups that stay as they were, ``modules`` the same as PyTorch calls them, whole modules where
    all of them are. ``why`` says in a sentence how it ended.
    """

    lowered: Lowered
    held: bool
    reverted: tuple[Group, ...]
    modules: tuple[str, ...]
    steps: tuple[Step, ...]
    why: str


def search(
    make: Make,
    judge: Judge,
    *,
    stages: Stages,
    identity: str,
    distance: Distance | None = None,
    hints: Callable[[Lowered], Hints] | None = None,
    latency: Latency | None = None,
    limits: Limits = Limits(),
    tell: Callable[[str], None] = lambda _: None,
) -> Found:
    """Return the model that holds its budget with as few groups reverted as were found, or why none does.

    ``identity`` is a digest of all that ``judge``, ``distance`` and ``latency`` depend on besides the model: with it,
    each measurement is kept, so that a search that was killed goes on where it was. ``hints`` says which groups to try
    first. ``tell`` is called with each step in words. Raises what they raise.
    """
    return _Search(
        make=make, judge=judge, distance=distance, hints=hints, latency=latency, stages=stages, identity=identity,
        limits=limits, tell=tell,
    ).run()  # fmt: skip


@dataclass(kw_only=True)
class _Search:
    make: Make
    judge: Judge
    distance: Distance | None
    hints: Callable[[Lowered], Hints] | None
    latency: Latency | None
    stages: Stages
    identity: str
    limits: Limits
    tell: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)
    barred: set[Unit] = field(default_factory=set)
    tried: set[Unit] = field(default_factory=set)
    groups: tuple[Group, ...] = ()

    def run(self) -> Found:
        """Search."""
        base = self.make(frozenset())
        self.groups = base.groups
        current, outcome = frozenset[str](), self._outcome(frozenset())
        self._record(current, outcome, kept=True)
        if outcome.held:
            return self._ended(current, outcome, "it holds its budget as it is")
        return self._revert(current, outcome)

    def _revert(self, current: frozenset[str], outcome: Outcome) -> Found:
        """Revert groups, best first, 1, 2, 4 ... units at a time, until the budget holds."""
        order, count = self._ranked(current), 1
        while order:
            if stop := self._exhausted(outcome):
                return self._ended(current, outcome, stop)
            chunk, order = order[:count], order[count:]
            tried = current.union(*chunk)
            if tried == current:
                continue
            found = self._outcome(tried)
            worse = not found.held and found.drop > outcome.drop + _SAME_DROP
            self._record(tried, found, kept=not worse)
            if found.held:
                return self._trim(current, chunk, found)
            if worse:
                self.barred |= set(chunk) if count == 1 else set()
                self.tell(f"that was worse: {self._named(tried - current)} taken back, ranked anew")
                order, count = self._ranked(current), 1
                continue
            current, outcome, count = tried, found, 2 * count
        return self._ended(current, outcome, f"all {len(self.groups)} groups were tried, and the budget does not hold")

    def _trim(self, before: frozenset[str], chunk: Sequence[Unit], outcome: Outcome) -> Found:
        """Lower again what need not be reverted: the end of the chunk, then whatever else can be."""
        low, high = 0, len(chunk)  # the first ``high`` of the chunk hold, the first ``low`` do not
        while high - low > 1 and self._may_judge():
            middle = (low + high) // 2
            tried = before.union(*chunk[:middle])
            found = self._outcome(tried)
            self._record(tried, found, kept=found.held)
            if found.held and self._pays(found, outcome):
                high, outcome = middle, found
            else:
                low = middle
        current, last = before.union(*chunk[:high]), chunk[high - 1]
        needed = last if len(last) == 1 else frozenset[str]()
        current, outcome = self._release(current, outcome, self._least_useful(current - needed))
        if outcome.latency is not None and self._too_slow(outcome.latency):
            return self._ended(current, outcome, self._slow(outcome.latency, current), held=False)
        return self._ended(current, outcome, f"it holds its budget with {self._count(current)} reverted")

    def _release(
        self, current: frozenset[str], outcome: Outcome, names: Sequence[str]
    ) -> tuple[frozenset[str], Outcome]:
        """Lower as many of these groups again as the budget allows: all at once, else each half by itself."""
        if not names or not self._may_judge():
            return current, outcome
        tried = current - set(names)
        found = self._outcome(tried)
        self._record(tried, found, kept=found.held)
        if found.held and self._pays(found, outcome):
            return tried, found
        half = (len(names) + 1) // 2
        for part in (names[:half], names[half:]) if len(names) > 1 else ():
            current, outcome = self._release(current, outcome, part)
        return current, outcome

    def _pays(self, found: Outcome, before: Outcome) -> bool:
        """Tell whether lowering more is worth what it loses: hardly anything, or it is faster by more than chance."""
        if found.latency is None or before.latency is None or found.drop <= before.drop + _HARDLY:
            return True
        return found.latency <= before.latency - _LEAST_COST

    def _least_useful(self, names: frozenset[str]) -> list[str]:
        """Return the groups in the order in which they were reverted last to first."""
        order = {name: place for place, step in enumerate(self.steps) for name in step.reverted if step.kept}
        return sorted(names, key=lambda name: (order.get(name, -1), name), reverse=True)

    def _ranked(self, current: frozenset[str]) -> list[Unit]:
        """Return what is left to revert, the most worth it first."""
        left = [g.name for g in self.groups if g.name not in current]
        hints = self._hints(current)
        left.sort(key=lambda name: hints.noise.get(name, 0.0))
        single = [frozenset({name}) for name in left]
        if self.distance is None:
            return [unit for unit in single if unit not in self.barred]
        most = self.limits.trials if hints.noise else len(left)  # without a hint, whoever is left out may be the one
        self.tell(f"trying {min(most, len(left))} of {len(self.groups)} groups alone, on a few pictures")
        here = self._distance(current)
        gains: dict[Unit, float] = {}
        for name in left[:most]:
            for unit in self._units(name, hints, current):
                gains[unit] = self._gain(current, unit, here)
                if gains[unit] > _CLEAR / _LEAST_COST:
                    break
        best = sorted(gains, key=lambda unit: -gains[unit])
        return [unit for unit in (*best, *single[most:]) if unit not in self.barred]

    def _units(self, name: str, hints: Hints, current: frozenset[str]) -> Iterator[Unit]:
        """Yield a group alone, and with those that read what it gives: their common tensor stays lowered otherwise."""
        yield frozenset({name})
        if readers := frozenset(hints.readers.get(name, ())) - current - {name}:
            yield frozenset({name}) | readers

    def _gain(self, current: frozenset[str], unit: Unit, here: float) -> float:
        """Return what reverting a unit gives back of the answers for each part of the time that it costs."""
        tried = current | unit
        gained = here - self._distance(tried)
        share = gained / here if here > 0 else 0.0
        if share < _CLEAR:
            return share / _LEAST_COST
        if tried not in self.tried:
            self.tried.add(tried)
            self.tell(f"{self._named(unit)} gives back {share:.0%} of what the answers lost")
        cost = max(0.0, self._latency(tried) - self._latency(current)) if self.latency is not None else 0.0
        return share / (_LEAST_COST * len(unit) + cost)

    def _exhausted(self, outcome: Outcome) -> str | None:
        """Say why the search cannot go on; None where it can."""
        if outcome.latency is not None and self._too_slow(outcome.latency):
            return self._slow(outcome.latency, frozenset(self.steps[-1].reverted))
        if not self._may_judge():
            return f"given up after {len(self.steps)} models were judged, and none held its budget"
        return None

    def _may_judge(self) -> bool:
        return len(self.steps) < self.limits.judgements

    def _too_slow(self, latency: float) -> bool:
        return self.limits.slowest is not None and latency >= self.limits.slowest

    def _slow(self, latency: float, reverted: frozenset[str]) -> str:
        return (
            f"with {self._count(reverted)} reverted it takes {latency:.2f} of the original's time, and "
            f"{self.limits.slowest:.2f} or more is not worth it"
        )

    def _outcome(self, reverted: frozenset[str]) -> Outcome:
        """Judge a model, unless that was done before."""
        lowered = self.make(reverted)

        def work(_: Path) -> Outcome:
            verdict = self.judge(lowered.model)
            return Outcome(held=verdict.held, drop=verdict.drop.point, reasons=tuple(verdict.reasons))

        found = self._kept("fallback judge", lowered.model, Outcome, work)
        time = self._latency(reverted) if self.latency is not None else None
        return Outcome(held=found.held, drop=found.drop, reasons=found.reasons, latency=time)

    def _latency(self, reverted: frozenset[str]) -> float:
        assert self.latency is not None
        model, measure = self.make(reverted).model, self.latency
        return self._kept("fallback latency", model, float, lambda _: measure(model))

    def _distance(self, reverted: frozenset[str]) -> float:
        assert self.distance is not None
        model, measure = self.make(reverted).model, self.distance
        return self._kept("fallback distance", model, float, lambda _: measure(model))

    def _hints(self, reverted: frozenset[str]) -> Hints:
        if self.hints is None:
            return Hints()
        lowered, look = self.make(reverted), self.hints
        return self._kept("fallback hints", lowered.model, Hints, lambda _: look(lowered))

    def _kept(self, stage: str, model: Model, kind: type[T], work: Callable[[Path], T]) -> T:
        return self.stages.quietly(Key(stage=stage, inputs=(model.digest, self.identity)), kind, work)

    def _record(self, reverted: frozenset[str], outcome: Outcome, *, kept: bool) -> None:
        if any(reverted == set(step.reverted) for step in self.steps):  # judged a second time, from memory
            return
        order = [name for step in self.steps for name in step.reverted]
        names = sorted(reverted, key=lambda name: (name not in order, order.index(name) if name in order else 0, name))
        self.steps.append(Step(reverted=tuple(names), outcome=outcome, kept=kept))
        what = f"{self._named(reverted)} as they were" if reverted else "everything lowered"
        verdict = "holds" if outcome.held else "does not hold"
        time = f", {outcome.latency:.2f} of the time" if outcome.latency is not None else ""
        self.tell(f"{what}: drop {100 * outcome.drop:.2f} points{time}, {verdict}")

    def _named(self, names: Iterable[str]) -> str:
        return ", ".join(in_modules(self.groups, names)) or "nothing"

    def _count(self, names: frozenset[str]) -> str:
        return f"{len(names)} of {len(self.groups)} groups"

    def _ended(self, reverted: frozenset[str], outcome: Outcome, why: str, *, held: bool | None = None) -> Found:
        return Found(
            lowered=self.make(reverted),
            held=outcome.held if held is None else held,
            reverted=tuple(group for group in self.groups if group.name in reverted),
            modules=in_modules(self.groups, reverted),
            steps=tuple(self.steps),
            why=why,
        )


def in_modules(groups: Sequence[Group], names: Iterable[str]) -> tuple[str, ...]:
    """Return groups as the PyTorch modules that they are of; the module around them where all of its groups are named.

    ``head`` instead of ``head.box.0``, ``head.box.1`` and ``head.classes``.
    """
    chosen = set(names)
    paths = {group.name: group.module or group.name for group in groups}
    found: dict[str, None] = {}
    for group in groups:
        if group.name in chosen:
            found.setdefault(next(_around(group, paths, chosen), paths[group.name]))
    return tuple(found)


def _around(group: Group, paths: Mapping[str, str], chosen: set[str]) -> Iterator[str]:
    """Yield the modules around a group, the largest first, of which every group is chosen, and more than one."""
    parts = paths[group.name].split(".")
    for length in range(1, len(parts)):
        outer = ".".join(parts[:length])
        inside = [name for name, path in paths.items() if path == outer or path.startswith(f"{outer}.")]
        if len(inside) > 1 and chosen.issuperset(inside):
            yield outer
