"""Every mark stands inside its drawing, and where its number says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.latency import Percentiles
from kit.quality import charts
from kit.quality.values import Interval

COUNTS = st.lists(st.integers(0, 10**9), max_size=30)
ANY = st.floats()


def inside(*places: float | None) -> bool:
    return all(place is None or 0 <= place <= 100 for place in places)


@given(ANY, ANY, ANY, ANY)
def test_a_change_and_its_budget_stand_on_the_line(value: float, low: float, high: float, budget: float) -> None:
    line = charts.budget_line(Interval(value=value, low=low, high=high), budget)
    assert inside(line.zero, line.budget, line.value, line.low, line.high)


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.2))
def test_more_loss_is_further_left(value: float, half: float, budget: float) -> None:
    line = charts.budget_line(Interval(value=value, low=value - half, high=value + half), budget)
    assert line.value is not None
    assert line.low is not None
    assert line.high is not None
    assert line.low <= line.value <= line.high
    assert line.budget <= line.zero
    if abs(value + budget) > 0.001:
        assert (line.value < line.budget) == (value < -budget)


@given(COUNTS, COUNTS, st.booleans())
def test_a_histogram_fills_its_height_and_no_more(first: list[int], second: list[int], by_share: bool) -> None:
    found = charts.histogram(first, second, ("a", "b"), by_share=by_share)
    if not any((*first, *second)):
        assert found is None
        return
    assert found is not None
    heights = [height for b in found.bins for height in (b.first, b.second)]
    assert max(heights) == pytest.approx(100)
    assert inside(*heights, *(b.left for b in found.bins))
    assert sum(b.width for b in found.bins) == pytest.approx(100, abs=0.05)


def test_counts_are_drawn_as_counts_or_as_shares() -> None:
    counted = charts.histogram((8, 2), (4, 1), ("a", "b"))
    shared = charts.histogram((8, 2), (4, 1), ("a", "b"), by_share=True)
    assert counted is not None
    assert shared is not None
    assert [(b.first, b.second) for b in counted.bins] == [(100, 50), (25, 12.5)]
    assert [(b.first, b.second) for b in shared.bins] == [(100, 100), (25, 25)]
    assert counted.outline == "M0,100V50.00H50.00V87.50H100.00V100"
    assert counted.bins[1].words == "0.50 to 1.00: a 2, b 1"


def test_medians_stand_in_their_bins() -> None:
    found = charts.histogram((1, 1), (1, 1), ("a", "b"), medians=(0.25, 1.27))
    assert found is not None
    assert (found.median_first, found.median_second) == (25, 100)


@given(st.lists(ANY, min_size=6, max_size=6))
def test_times_stand_on_their_line(times: list[float]) -> None:
    pairs = [Percentiles(p50_ms=a, p90_ms=b, p99_ms=c, answers=9) for a, b, c in (times[:3], times[3:])]
    for whisker in charts.whiskers(*pairs):
        assert inside(whisker.p50, whisker.p90, whisker.p99)


def test_times_share_a_scale() -> None:
    slow = Percentiles(p50_ms=10, p90_ms=12, p99_ms=20, answers=9)
    fast = Percentiles(p50_ms=5, p90_ms=6, p99_ms=10, answers=9)
    before, after = charts.whiskers(slow, fast)
    assert (before.p50, before.p90, before.p99) == (50, 60, 100)
    assert (after.p50, after.p90, after.p99) == (25, 30, 50)


@given(ANY, ANY)
def test_bars_stay_in_their_place(change: float, widest: float) -> None:
    assert inside(charts.bar(change, widest))


def test_an_outline_is_a_path_of_numbers() -> None:
    found = charts.histogram((1, 2, 3), (3, 2, 1), ("a", "b"))
    assert found is not None
    assert re.fullmatch(r"M0,100(V[\d.]+H[\d.]+){3}V100", found.outline)
