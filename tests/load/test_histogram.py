"""The histogram's laws: nothing is lost, merging is adding, and a value is known to 0.1 %."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.load.histogram import Histogram, bucket, highest_us, lowest_us, merged

TIMES_US = st.integers(0, 10**11)
LISTS = st.lists(TIMES_US, min_size=1, max_size=60)


def histogram(values_us: list[int]) -> Histogram:
    made = Histogram()
    for value in values_us:
        made.add((value + 0.5) / 1e6)
    return made


@given(TIMES_US)
def test_a_value_lies_in_its_bucket_which_is_a_thousandth_wide(value_us: int) -> None:
    index = bucket(value_us)
    assert lowest_us(index) <= value_us <= highest_us(index)
    assert highest_us(index) - lowest_us(index) <= lowest_us(index) / 1000


@given(TIMES_US, TIMES_US)
def test_buckets_are_in_the_order_of_values(first_us: int, second_us: int) -> None:
    low, high = sorted((first_us, second_us))
    assert bucket(low) <= bucket(high)


@given(LISTS, st.floats(0.01, 100))
def test_a_percentile_is_the_nearest_rank_to_a_thousandth(values_us: list[int], percent: float) -> None:
    exact_ms = sorted(values_us)[math.ceil(len(values_us) * percent / 100 - 1e-9) - 1] / 1e3
    got = histogram(values_us).percentile_ms(percent)
    assert got is not None
    assert exact_ms <= got <= exact_ms * 1.001


@given(LISTS, LISTS)
def test_merging_is_counting_everything_in_one(first_us: list[int], second_us: list[int]) -> None:
    together = merged([histogram(first_us), histogram(second_us)])
    assert together == histogram([*first_us, *second_us])
    assert together.mean_ms() == pytest.approx(sum([*first_us, *second_us]) / (len(first_us) + len(second_us)) / 1e3)


@given(LISTS, st.lists(st.floats(0.001, 1e6), max_size=5))
def test_bins_hold_every_value_once(values_us: list[int], edges_ms: list[float]) -> None:
    assert sum(histogram(values_us).bins(sorted(edges_ms))) == len(values_us)


def test_nothing_was_measured() -> None:
    assert Histogram().percentile_ms(99) is None
    assert Histogram().mean_ms() is None
    assert Histogram().share_above(1) == 0
    with pytest.raises(ValueError, match="no 0th percentile"):
        Histogram().percentile_ms(0)


def test_a_clock_that_went_back_counts_as_zero() -> None:
    found = Histogram()
    found.add(-1e-6)
    assert found.percentile_ms(100) == 0
