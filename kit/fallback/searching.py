"""Which layers a lower precision must leave as they are to hold its budget: searched for greedily, ADR 16.

    found = fallback.search(make, judge, stages=stages, identity=digest, distance=distance, latency=latency, tell=tell)

Groups are ranked by what reverting each alone gives back to the answers on a few pictures, for the time that it costs;
they are reverted in that order, ever more at a time, and judged: on a part of the validation set where that shows a
loss that the whole would not take back, else on all of it. What made it worse is taken back and the rest ranked anew;
once the budget holds, whatever can be lowered after all is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from kit.cache import Key
from kit.fallback.naming import in_modules
from kit.fallback.values import Distance, Found, Hints, Judge, Latency, Limits, Make, Outcome, Step, Unit
from kit.precision.interface import Group, Lowered
from kit.stages import Stages
from kit.types import Model

T = TypeVar("T")

_NEARLY_ALL = 0.9
"""Of what the answers lost: units that give back as much together are enough to begin with."""

_MORE = 4
"""Groups that are tried at least when it is known what to revert: another one may cost less time."""

_HARDLY = 0.002
"""A fifth of the usual budget: for less, a group is not left in float without a gain of time."""

_LEAST_COST = 0.01
"""Of the latency's ratio: smaller differences are the clock's."""

_CLEAR = 0.05
"""Share of what the answers lost; what gives back less gave it back by chance."""


def search(
    make: Make,
    judge: Judge,
    *,
    stages: Stages,
    identity: str,
    distance: Distance | None = None,
    hints: Callable[[Lowered], Hints] | None = None,
    latency: Latency | None = None,
    glance: Judge | None = None,
    brief: Latency | None = None,
    limits: Limits | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Found:
    """Return the model that holds its budget with as few groups reverted as were found, or why none does.

    ``identity`` is a digest of all that ``judge``, ``distance`` and ``latency`` depend on besides the model: with it,
    each measurement is kept, so that a search that was killed goes on where it was. ``hints`` says which groups to try
    first. ``glance`` judges on a part of the pictures, and ``brief`` times quickly: what leads nowhere is not looked at
    longer. ``tell`` is called with each step in words. Raises what they raise.
    """
    return _Search(
        make=make, judge=judge, distance=distance, hints=hints, latency=latency, glance=glance, brief=brief,
        stages=stages, identity=identity, limits=limits or Limits(), tell=tell,
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
    glance: Judge | None = None
    brief: Latency | None = None
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
            if stop := self._exhausted(current, outcome):
                return self._ended(current, outcome, stop)
            chunk, order = order[:count], order[count:]
            tried = current.union(*chunk)
            if tried == current:
                continue
            found = self._outcome(tried)
            worse = not found.held and found.worse_than(outcome)
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
        self.tell(f"trying up to {min(most, len(left))} of {len(self.groups)} groups alone, on a few pictures")
        gains = self._gains(self._units(left, most, hints, current), hints, current)
        best = sorted(gains, key=lambda unit: -gains[unit])
        rest = [unit for unit in single if unit not in gains]
        return _apart_first([unit for unit in (*best, *rest) if unit not in self.barred])

    def _units(self, left: Sequence[str], most: int, hints: Hints, current: frozenset[str]) -> list[tuple[str, Unit]]:
        """Return groups alone, and with those that read what they give, each with the group that gives.

        The common tensor of two groups stays lowered while one of them is. The noisiest come first: of two around one
        tensor that is the reader, mostly, for what an outlier costs is seen behind the next layer.
        """
        places = {name: place for place, name in enumerate(left)}
        reading = {name: frozenset(hints.readers.get(name, ())) - current - {name} for name in left}
        units = [(name, frozenset({name})) for name in left]
        units += [(name, frozenset({name}) | readers) for name, readers in reading.items() if readers]
        first = {unit: min(places[name] for name in unit) for _, unit in units}
        return sorted((one for one in units if first[one[1]] < most), key=lambda one: (first[one[1]], len(one[1])))

    def _gains(self, units: Sequence[tuple[str, Unit]], hints: Hints, current: frozenset[str]) -> dict[Unit, float]:
        """Return what reverting units gives back, each by the time that it costs.

        Where those that were tried explain together nearly all that was lost, as many again are tried, and no more.
        """
        here = self._distance(current)
        gains: dict[Unit, float] = {}
        shares: dict[Unit, float] = {}
        last = len(units)
        for giver, unit in units:
            if len(shares) >= last:
                break
            if len(unit) > 1 and gains.get(frozenset({giver}), 0.0) > _CLEAR / _LEAST_COST:
                continue
            shares[unit] = (here - self._distance(current | unit)) / here if here > 0 else 0.0
            gains[unit] = self._gain(current, unit, shares[unit], hints.costs)
            if last == len(units) and _explained(shares) >= _NEARLY_ALL:
                last = max(2 * len(shares), len(shares) + _MORE)
        return gains

    def _gain(self, current: frozenset[str], unit: Unit, share: float, costs: Mapping[str, float]) -> float:
        """Return which share of the answers a unit gives back for each part of the time that it costs."""
        tried = current | unit
        if share < _CLEAR:
            return share / _LEAST_COST
        if tried not in self.tried:
            self.tried.add(tried)
            self.tell(f"{self._named(unit)} gives back {share:.0%} of what the answers lost")
        return share / (_LEAST_COST * len(unit) + self._cost(current, unit, costs))

    def _cost(self, current: frozenset[str], unit: Unit, costs: Mapping[str, float]) -> float:
        """Return about how much longer the model takes with a unit reverted too."""
        if self.latency is None:
            return 0.0
        if costs:
            return sum(costs.get(name, 0.0) for name in unit)
        return max(0.0, self._latency(current | unit, brief=True) - self._latency(current, brief=True))

    def _exhausted(self, current: frozenset[str], outcome: Outcome) -> str | None:
        """Say why the search cannot go on; None where it can."""
        if outcome.latency is not None and self._too_slow(outcome.latency):
            surely = self._latency(current)  # a brief look is wrong at times
            if self._too_slow(surely):
                return self._slow(surely, current)
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
        model, part = self.make(reverted).model, None
        if self.glance is not None:
            part = self._verdict("fallback glance", self.glance, model)
        if part is not None and not part.whole:
            found = part
        else:
            whole = self._verdict("fallback judge", self.judge, model)
            found = replace(whole, whole=True, glimpse=None if part is None else part.glimpse)
        time = self._latency(reverted, brief=not found.held) if self.latency is not None else None
        return replace(found, latency=time)

    def _verdict(self, stage: str, judge: Judge, model: Model) -> Outcome:
        """Return a verdict as if it were on a part of the pictures; ``whole`` where all must be asked then."""

        def work(_: Path) -> Outcome:
            verdict = judge(model)
            point, lost = verdict.drop.point, not verdict.held and verdict.drop.low > self.limits.allowed
            return Outcome(
                held=verdict.held, drop=point, reasons=tuple(verdict.reasons), glimpse=point, whole=not lost
            )  # fmt: skip

        return self._kept(stage, model, Outcome, work)

    def _latency(self, reverted: frozenset[str], *, brief: bool = False) -> float:
        """Return a model's time; ``brief``ly measured where it decides little."""
        assert self.latency is not None
        model, measure, stage = self.make(reverted).model, self.latency, "fallback latency"
        if brief and self.brief is not None:
            measure, stage = self.brief, "fallback brief latency"
        return self._kept(stage, model, float, lambda _: measure(model))

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
        part = "" if outcome.whole else " on a part of the pictures"
        self.tell(f"{what}: drop {100 * outcome.drop:.2f} points{part}{time}, {verdict}")

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


def _apart_first(units: Sequence[Unit]) -> list[Unit]:
    """Return units in their order, but those last that share a group with a better one: it gives back the same."""
    counted = frozenset[str]()
    first, last = list[Unit](), list[Unit]()
    for unit in units:
        (last if unit & counted else first).append(unit)
        counted |= frozenset() if unit & counted else unit
    return first + last


def _explained(shares: Mapping[Unit, float]) -> float:
    """Return the share of the answers that units without a common group give back together, best first."""
    total, counted = 0.0, frozenset[str]()
    for unit in sorted(shares, key=lambda unit: -shares[unit]):
        if shares[unit] >= _CLEAR and not unit & counted:
            total += shares[unit]
            counted |= unit
    return total
