"""Rates and ages of one camera, safe to use from any thread."""

from __future__ import annotations

import bisect
import math
import threading
from collections import deque
from collections.abc import Sequence

from kit.stream.results import Result
from kit.stream.snapshot import BOUNDS_MS, Spread

NEWEST = 512
"""Percentiles are of so many of the newest values."""
_SPAN_NS = 5_000_000_000
_NS = 1_000_000_000


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest of the ordered values that at least ``percent`` % do not exceed (the nearest rank).

    Raises ``ValueError`` where there is no value, or ``percent`` is not in 0 < percent <= 100.
    """
    if not ordered or not 0 < percent <= 100:
        raise ValueError(f"no {percent}th percentile of {len(ordered)} values")
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


class Times:
    """Distribution of a time in milliseconds; not safe by itself."""

    def __init__(self) -> None:
        self._newest: deque[float] = deque(maxlen=NEWEST)
        self._buckets = [0] * (len(BOUNDS_MS) + 1)
        self._sum_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Count a value."""
        self._newest.append(value_ms)
        self._buckets[bisect.bisect_left(BOUNDS_MS, value_ms)] += 1
        self._sum_ms += value_ms

    def spread(self) -> Spread | None:
        """Return the distribution; None where there is no value."""
        if not self._newest:
            return None
        ordered = sorted(self._newest)
        p50, p90, p99 = (percentile(ordered, percent) for percent in (50, 90, 99))
        return Spread(p50_ms=p50, p90_ms=p90, p99_ms=p99, buckets=tuple(self._buckets), sum_ms=self._sum_ms)


class Rate:
    """How fast a counter rises, over the last five seconds; not safe by itself."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def see(self, now_ns: int, count: int) -> None:
        """Note a count; the first one begins the time."""
        self._seen.append((now_ns, count))
        while len(self._seen) > 2 and self._seen[1][0] <= now_ns - _SPAN_NS:
            self._seen.popleft()

    def per_second(self) -> float:
        """Return the rate; 0 before two counts were seen."""
        if len(self._seen) < 2:
            return 0.0
        (first_ns, first), (last_ns, last) = self._seen[0], self._seen[-1]
        return (last - first) * _NS / max(1, last_ns - first_ns)


class Meter:
    """What is measured of one camera."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._age, self._answer = Times(), Times()
        self._captured, self._inferred = Rate(), Rate()

    def record(self, result: Result) -> None:
        """Count a result's times."""
        with self._lock:
            self._age.add((result.emitted_ns - result.frame.captured_ns) / 1e6)
            self._answer.add((result.received_ns - result.sent_ns) / 1e6)

    def see(self, now_ns: int, *, captured: int, emitted: int) -> None:
        """Note the counts of this moment."""
        with self._lock:
            self._captured.see(now_ns, captured)
            self._inferred.see(now_ns, emitted)

    def rates(self) -> tuple[float, float]:
        """Return frames captured and inferred a second."""
        with self._lock:
            return self._captured.per_second(), self._inferred.per_second()

    def spreads(self) -> tuple[Spread | None, Spread | None]:
        """Return the ages of results and the times of answers."""
        with self._lock:
            return self._age.spread(), self._answer.spread()
