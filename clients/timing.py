"""How fast answers came: requests per second and latency percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One run over a video: how many requests were under way at a time, each one's latency, the whole run's length."""

    in_flight: int
    latencies_ms: tuple[float, ...]
    seconds: float

    @property
    def frames_per_second(self) -> float:
        """Frames that were read, sent and answered in a second of the run."""
        return len(self.latencies_ms) / self.seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` % of all values do not exceed (the nearest rank).

    Raises ``ValueError`` where there is no value, or ``percent`` is not in 0 < percent <= 100.
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"no {percent}th percentile of {len(values)} values")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def table(timings: Iterable[Timing]) -> str:
    """Return a row for each run."""
    heads = ["requests in flight", "frames/s", *(f"p{p} ms" for p in PERCENTILES)]
    lines = ["  ".join(f"{head:>9s}" for head in heads)]
    for timing in timings:
        values = [timing.frames_per_second, *(percentile(timing.latencies_ms, p) for p in PERCENTILES)]
        lines.append("  ".join([f"{timing.in_flight:18d}", *(f"{value:9.1f}" for value in values)]))
    return "\n".join(lines)
