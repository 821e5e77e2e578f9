"""The rising steps of a load, and what they say of how much is held."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kit.load import Phase
from kit.tune.values import Need, Step


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How closely it is looked. ``shares`` are the steps, of the rate that is expected.

    A step has ``requests`` of them where that takes between ``shortest_s`` and ``longest_s``. ``attempts`` is how
    many ladders there may be until one begins with a step that holds and ends with one that does not.
    """

    shares: tuple[float, ...]
    requests: int
    shortest_s: float
    longest_s: float
    attempts: int = 3

    def phase(self, rate: float) -> Phase:
        """Return a step of that rate."""
        return Phase(first=rate, last=rate, seconds=min(self.longest_s, max(self.shortest_s, self.requests / rate)))


QUICK = Effort(shares=(0.5, 0.67, 0.8, 0.92, 1.05, 1.2, 1.4), requests=60, shortest_s=1.0, longest_s=2.0)
CLOSE = Effort(shares=(0.75, 0.85, 0.92, 0.98, 1.04, 1.1, 1.18), requests=150, shortest_s=1.5, longest_s=4.0)
"""For the search, where a candidate has one look, and for the confirmation of those that were best there."""

_LEAST_RATE = 0.2


def rates(expected: float, effort: Effort, need: Need) -> tuple[float, ...]:
    """Return the steps around a rate, in requests a second; the rate that is needed is one of them if it is near."""
    found = [max(_LEAST_RATE, expected * share) for share in effort.shares]
    needed = need.rate
    if needed is not None and found[0] <= needed <= found[-1]:
        nearest = min(range(len(found)), key=lambda number: abs(found[number] - needed))
        found[nearest] = needed
    return tuple(sorted(set(found)))


def further(steps: tuple[Step, ...], effort: Effort, need: Need) -> tuple[float, ...]:
    """Return the steps to be taken after those, lower or higher ones; nothing where the edge lies between two."""
    if not steps[0].held:
        if steps[0].asked_rate <= _LEAST_RATE:
            return ()
        return rates(steps[0].asked_rate / 2, effort, need)
    if steps[-1].held:
        return tuple(rate for rate in rates(steps[-1].asked_rate * 1.5, effort, need) if rate > steps[-1].asked_rate)
    return ()


def joined(before: tuple[Step, ...], new: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps of several ladders by rate; where two have the same, the newer one counts."""
    found = {step.asked_rate: step for step in (*before, *new)}
    return tuple(found[rate] for rate in sorted(found))


def capacity(steps: tuple[Step, ...], need: Need) -> float:
    """Return the largest rate that is held, in requests a second; 0 where none is.

    It is that of the last step before the first that gives way, and the part of the way between them at which the
    p99, by its logarithm, reaches what is allowed: a ladder's rungs are too far apart to rank candidates by.
    """
    last = None
    for step in steps:
        if not step.held:
            return (
                0.0 if last is None else last.asked_rate + (step.asked_rate - last.asked_rate) * _part(last, step, need)
            )
        last = step
    return 0.0 if last is None else last.asked_rate


def _part(last: Step, over: Step, need: Need) -> float:
    if not last.p99_ms or not over.p99_ms or over.p99_ms <= max(last.p99_ms, need.p99_ms):
        return 0.0  # it gave way in another manner
    return max(0.0, math.log(need.p99_ms / last.p99_ms) / math.log(over.p99_ms / last.p99_ms))
