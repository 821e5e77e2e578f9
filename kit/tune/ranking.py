"""Measurements of candidates, put in an order: which is best, how sure that is, and which none beats at all."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from kit.tune.values import Candidate, Measurement, Need, Ranked, Stage

_NEAR = 0.98
"""A capacity of this share of the largest, within its interval, is as good: what comes next decides."""
_SAME_MEMORY = 0.05
_AGREE = 1.10
"""Repetitions that differ by more than that, by the largest over the smallest, disagree."""


def ranked(measurements: Iterable[Measurement], need: Need) -> tuple[Ranked, ...]:
    """Return each candidate that could be measured with all that was, the most capacity first."""
    by_candidate: dict[Candidate, list[Measurement]] = {}
    for measurement in measurements:
        by_candidate.setdefault(measurement.candidate, []).append(measurement)
    found = [_ranked(candidate, own, need) for candidate, own in by_candidate.items()]
    return tuple(sorted(found, key=lambda each: (-each.capacity, each.candidate)))


def _ranked(candidate: Candidate, measured: Sequence[Measurement], need: Need) -> Ranked:
    """Take the confirmations where there are any: looks of the search are shorter, and were taken at other times.

    A failure counts as nothing held where it is the rule; a server may also die of something else.
    """
    worked = [m for m in measured if not m.failed]
    kept = worked if 2 * len(worked) > len(measured) else list(measured)
    counted = [m for m in kept if m.stage is Stage.CONFIRM] or kept
    capacities = [m.capacity for m in counted]
    low, high = (min(capacities), max(capacities)) if len(counted) > 1 else _between(counted[0])
    latencies = [p99 for m in counted if (p99 := _p99_ms(m, need)) is not None]
    memories = [m.memory_bytes for m in counted if m.memory_bytes is not None]
    return Ranked(
        candidate=candidate,
        capacity=statistics.median(capacities),
        low=low,
        high=high,
        p99_ms=statistics.median(latencies) if latencies else None,
        memory_bytes=round(statistics.median(memories)) if memories else None,
        measurements=tuple(measured),
    )


def _between(measurement: Measurement) -> tuple[float, float]:
    """Return the rates of the last step that held and the first that did not."""
    rates = [step.asked_rate for step in measurement.steps]
    failed = next((step.asked_rate for step in measurement.steps if not step.held), measurement.capacity)
    return max((rate for rate in rates if rate <= measurement.capacity), default=0.0), failed


def _p99_ms(measurement: Measurement, need: Need) -> float | None:
    """Return the p99 at the rate that is needed, or the nearest; without one, at the largest that held."""
    steps = [step for step in measurement.steps if step.held and step.p99_ms is not None]
    if not steps:
        return None
    rate = need.rate
    if rate is None:
        return steps[-1].p99_ms
    return min(steps, key=lambda step: abs(step.asked_rate - rate)).p99_ms


def best(found: Sequence[Ranked]) -> Ranked | None:
    """Return the one with the most capacity; of those as good, that with the least memory, then latency.

    Those that were confirmed come before all others.
    """
    confirmed = [each for each in found if any(m.stage is Stage.CONFIRM for m in each.measurements)]
    able = [each for each in confirmed or found if each.capacity > 0]
    if not able:
        return None
    top = max(able, key=lambda each: each.capacity)
    alike = [each for each in able if each.high >= top.low and each.capacity >= _NEAR * top.capacity]
    unit = _SAME_MEMORY * min((each.memory_bytes or 1) for each in alike)
    return min(alike, key=lambda each: (round((each.memory_bytes or 0) / unit), each.p99_ms or 0.0, -each.capacity))


def frontier(found: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """Return those that no other beats in capacity, p99 and memory at once, the most capacity first."""
    able = [each for each in found if each.capacity > 0]
    return tuple(each for each in able if not any(_beats(other, each) for other in able))


def _beats(one: Ranked, other: Ranked) -> bool:
    ours, theirs = _goodness(one), _goodness(other)
    return ours != theirs and all(mine <= yours for mine, yours in zip(ours, theirs, strict=True))


def _goodness(each: Ranked) -> tuple[float, float, float]:
    return -each.capacity, each.p99_ms or 0.0, float(each.memory_bytes or 0)


def disagree(each: Ranked) -> bool:
    """Return whether repetitions of the confirmation differ by more than chance allows on a quiet machine."""
    return each.high > _AGREE * each.low


def sureness(chosen: Ranked | None, found: Sequence[Ranked]) -> str:
    """Return in a line or two how sure the choice is."""
    if chosen is None:
        return "not at all: nothing held what is needed"
    confirmed = [m for m in chosen.measurements if m.stage is Stage.CONFIRM]
    if not confirmed:
        return "a guess: it was broken off before anything was confirmed"
    if len(confirmed) == 1:
        return "hardly: it was confirmed only once"
    spread = chosen.high / chosen.low - 1 if chosen.low else 1.0
    said = f"{len(confirmed)} confirmations of it differ by {spread:.0%}"
    alike = [e for e in found if e is not chosen and e.high >= chosen.low and e.capacity > 0 and _confirmed(e)]
    said += f"; {len(alike)} other{'s' * (len(alike) > 1)} may be as good" if alike else "; no other comes as near"
    noisy = [m.noisy for m in confirmed if m.noisy]
    if noisy:
        return f"little: the machine was not quiet ({noisy[-1]}); {said}"
    return f"{'little' if disagree(chosen) else 'well'}: {said}"


def _confirmed(each: Ranked) -> bool:
    return any(m.stage is Stage.CONFIRM for m in each.measurements)
