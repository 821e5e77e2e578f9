"""Where the marks of the page's drawings stand: per cent of their width and height, whatever the numbers are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kit.latency import Percentiles
from kit.quality import words
from kit.quality.values import Interval

_MARGIN = 0.12
_LEAST_SPAN = 0.005
_LEAST_DIGITS = 1e-300


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """A change on a line: what is left of ``budget`` is too much. Per cent from the left; None where not known."""

    zero: float
    budget: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bin of two histograms: heights in per cent of the highest, ``words`` for who points at it."""

    left: float
    width: float
    first: float
    second: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Two histograms over each other; ``outline`` is the second's, as an SVG path."""

    bins: tuple[Bin, ...]
    outline: str
    median_first: float | None = None
    median_second: float | None = None


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """Times on a line from 0: per cent from the left."""

    p50: float
    p90: float
    p99: float


def budget_line(change: Interval, budget: float) -> BudgetLine:
    """Place a change, its interval, 0 and the budget (how much may be lost) on one line."""
    marks = [m for m in (change.value, change.low, change.high, -budget, 0.0) if math.isfinite(m)]
    low, high = min(marks), max(marks)
    span = max(high - low, _LEAST_SPAN)
    start, end = low - _MARGIN * span, high + _MARGIN * span

    def place(value: float) -> float | None:
        return _per_cent(value, start, end)

    return BudgetLine(
        zero=place(0.0) or 0.0,
        budget=place(-budget) or 0.0,
        value=place(change.value),
        low=place(change.low),
        high=place(change.high),
    )


def histogram(
    first: Sequence[int],
    second: Sequence[int],
    names: tuple[str, str],
    *,
    medians: tuple[float, float] | None = None,
    by_share: bool = False,
) -> Histogram | None:
    """Lay two histograms with equal bins from 0 to 1 over each other; None where there is nothing to draw.

    ``by_share``: each is drawn by its own total, as one is of far fewer things than the other.
    """
    count = max(len(first), len(second))
    if not count or not any((*first, *second)):
        return None
    heights = _heights(first, count, by_share), _heights(second, count, by_share)
    highest = max(*heights[0], *heights[1])
    bins = tuple(
        Bin(
            left=round(100 * number / count, 3),
            width=round(100 / count, 3),
            first=round(100 * (one / highest), 3),
            second=round(100 * (other / highest), 3),
            words=f"{number / count:.2f} to {(number + 1) / count:.2f}: "
            f"{names[0]} {_at(first, number)}, {names[1]} {_at(second, number)}",
        )
        for number, (one, other) in enumerate(zip(*heights, strict=True))
    )
    places = [_per_cent(median, 0, 1) for median in medians or ()] or [None, None]
    return Histogram(bins=bins, outline=_outline(bins), median_first=places[0], median_second=places[1])


def whiskers(before: Percentiles, after: Percentiles) -> tuple[Whisker, Whisker]:
    """Draw two models' times to the same scale."""
    ends = [t for p in (before, after) for t in (p.p50_ms, p.p90_ms, p.p99_ms) if math.isfinite(t)]
    longest = max([*ends, _LEAST_DIGITS])

    def line(found: Percentiles) -> Whisker:
        places = [_per_cent(t, 0, longest) or 0.0 for t in (found.p50_ms, found.p90_ms, found.p99_ms)]
        return Whisker(p50=places[0], p90=places[1], p99=places[2])

    return line(before), line(after)


def bar(change: float, widest: float) -> float:
    """Return how long a change's bar is, in per cent of the widest one."""
    if not math.isfinite(change) or not math.isfinite(widest) or widest <= 0:
        return 0.0
    return round(min(100.0, 100 * abs(change) / widest), 2)


def described(change: Interval, budget: float) -> str:
    """Say what the line of a budget shows, for who does not see it."""
    return (
        f"change {words.points(change.value)} points, with 95 % confidence {words.between(change)}; "
        f"{words.allowed(budget)} allowed"
    )


def _per_cent(value: float, start: float, end: float) -> float | None:
    """Return a place between 0 and 100; what is beyond an end stands on it."""
    if not math.isfinite(value) or not end > start or not math.isfinite(end - start):
        return None
    return round(100 * min(1.0, max(0.0, (value - start) / (end - start))), 2)


def _heights(counts: Sequence[int], length: int, by_share: bool) -> list[float]:
    total = (sum(counts) or 1) if by_share else 1
    return [_at(counts, number) / total for number in range(length)]


def _at(counts: Sequence[int], number: int) -> int:
    return counts[number] if number < len(counts) else 0


def _outline(bins: Sequence[Bin]) -> str:
    """Return the second histogram's steps in a picture of 100 by 100, 0 at the top."""
    steps = [f"V{100 - b.second:.2f}H{b.left + b.width:.2f}" for b in bins]
    return f"M0,100{''.join(steps)}V100"
