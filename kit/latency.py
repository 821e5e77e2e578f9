"""How fast a model answers beside another: both in turn, so that what else the machine does meets both alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_WARM_UP = 3
_LEAST_PAIRS = 15
_MOST_PAIRS = 400
_CONFIDENCE = 0.95
_RESAMPLES = 500


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Times of single answers, in milliseconds."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    answers: int


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Two models at one batch size. ``ratio`` is the time of the second by that of the first: below 1 is faster.

    ``low`` and ``high`` bound it with 95 % confidence (a bootstrap over the pairs' medians).
    """

    batch: int
    first: Percentiles
    second: Percentiles
    ratio: float
    low: float
    high: float


def beside(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    batch: int,
    seconds: float = 2.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Beside:
    """Time two ways of answering the same batch, in turn and with the order changed each time.

    It takes about ``seconds``, and more where 15 pairs need more.
    """
    for _ in range(_WARM_UP):
        first(), second()
    pairs: list[tuple[float, float]] = []
    end = clock() + seconds
    while len(pairs) < _LEAST_PAIRS or (clock() < end and len(pairs) < _MOST_PAIRS):
        if len(pairs) % 2:
            later, earlier = _timed(second, clock), _timed(first, clock)
            pairs.append((earlier, later))
        else:
            pairs.append((_timed(first, clock), _timed(second, clock)))
    low, high = _interval(pairs)
    return Beside(
        batch=batch,
        first=percentiles([pair[0] for pair in pairs]),
        second=percentiles([pair[1] for pair in pairs]),
        ratio=_ratio(pairs),
        low=low,
        high=high,
    )


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Return the percentiles of at least one time in seconds, each the least time that so many do not exceed."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Percentiles(p50_ms=at(0.5), p90_ms=at(0.9), p99_ms=at(0.99), answers=len(ordered))


def _timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    import statistics  # 5 ms, where nothing is timed

    return statistics.median(p[1] for p in pairs) / statistics.median(p[0] for p in pairs)


def _interval(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    generator = random.Random(0)  # noqa: S311 (a bootstrap, no secret)
    found = sorted(_ratio(generator.choices(pairs, k=len(pairs))) for _ in range(_RESAMPLES))
    edge = int((1 - _CONFIDENCE) / 2 * _RESAMPLES)
    return found[edge], found[-1 - edge]
