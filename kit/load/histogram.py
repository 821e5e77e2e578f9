"""A histogram of times with a bounded relative error, as Gil Tene's HdrHistogram has it: small, exact to merge.

Buckets are one microsecond wide below 2048 us; above, each power of two is divided into 1024, so that a value is known
to 0.1 % however large it is (three significant digits). Only buckets that hold something take room.
Source of the layout: https://hdrhistogram.github.io/HdrHistogram/
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

_BITS = 10
_EXACT = 1 << (_BITS + 1)  # 2048: values below have a bucket each


def bucket(value_us: int) -> int:
    """Return the bucket of a time of at least 0 microseconds."""
    if value_us < _EXACT:
        return value_us
    shift = value_us.bit_length() - _BITS - 1
    return (shift << _BITS) + (value_us >> shift)


def lowest_us(index: int) -> int:
    """Return the smallest time that falls into a bucket."""
    if index < _EXACT:
        return index
    shift = (index >> _BITS) - 1
    return (index - (shift << _BITS)) << shift


def highest_us(index: int) -> int:
    """Return the largest whole number of microseconds that falls into a bucket."""
    return lowest_us(index + 1) - 1


@dataclass(kw_only=True)
class Histogram:
    """Counts by bucket, and how many there are. ``sum_us`` is exact, so that the mean is."""

    counts: dict[int, int] = field(default_factory=dict)
    count: int = 0
    sum_us: int = 0

    def add(self, seconds: float) -> None:
        """Count a time; one below zero (a clock's noise) is taken for zero."""
        value_us = max(0, int(seconds * 1e6))
        index = bucket(value_us)
        self.counts[index] = self.counts.get(index, 0) + 1
        self.count += 1
        self.sum_us += value_us

    def merge(self, other: Histogram) -> None:
        """Add what another one has counted; nothing is lost by it."""
        for index, count in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + count
        self.count += other.count
        self.sum_us += other.sum_us

    def percentile_ms(self, percent: float) -> float | None:
        """Return the time in milliseconds that at least ``percent`` % do not exceed, to 0.1 %; None where it is empty.

        Raises ``ValueError`` where ``percent`` is not in 0 < percent <= 100.
        """
        if not 0 < percent <= 100:
            raise ValueError(f"no {percent}th percentile")
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100 - 1e-9))
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= rank:
                return highest_us(index) / 1e3
        raise AssertionError("the counts add up")

    def mean_ms(self) -> float | None:
        """Return the mean; None where it is empty."""
        return self.sum_us / self.count / 1e3 if self.count else None

    def share_above(self, milliseconds: float) -> float:
        """Return the share of times that are surely longer; 0 where it is empty."""
        limit = bucket(int(milliseconds * 1e3))
        return sum(n for index, n in self.counts.items() if index > limit) / self.count if self.count else 0.0

    def bins(self, edges_ms: Iterable[float]) -> tuple[int, ...]:
        """Return how many times lie below the first edge, between two, and above the last; edges ascend."""
        edges = [edge * 1e3 for edge in edges_ms]
        found = [0] * (len(edges) + 1)
        for index, count in self.counts.items():
            place = next((n for n, edge in enumerate(edges) if lowest_us(index) < edge), len(edges))
            found[place] += count
        return tuple(found)


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return one that holds all."""
    total = Histogram()
    for each in histograms:
        total.merge(each)
    return total
