import emissions
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.stream.meter import NEWEST, Meter, Rate, Times, percentile
from kit.stream.snapshot import BOUNDS_MS

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)
PERCENTS = st.floats(0.1, 100)


@given(VALUES, PERCENTS)
def test_a_percentile_is_numpys_by_the_inverted_distribution(values: list[float], percent: float) -> None:
    shares = len(values) * percent / 100
    if abs(shares - round(shares)) > 1e-9:  # there, rounding decides between two neighbours
        assert percentile(sorted(values), percent) == np.percentile(values, percent, method="inverted_cdf")


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_there_is_no_percentile(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match=rf"^no {percent}th percentile of {len(values)} values$"):
        percentile(values, percent)


@given(VALUES)
def test_every_value_is_in_one_bucket_that_bounds_it(values: list[float]) -> None:
    times = Times()
    for value in values:
        times.add(value)
    spread = times.spread()
    assert spread is not None
    assert spread.count == len(values)
    assert spread.sum_ms == pytest.approx(sum(values))
    for number, bound in enumerate(BOUNDS_MS):
        assert sum(spread.buckets[: number + 1]) == sum(value <= bound for value in values)


def test_percentiles_are_of_the_newest_and_counts_of_all() -> None:
    times = Times()
    for value in [1000.0] * 100 + [1.0] * NEWEST:
        times.add(value)
    spread = times.spread()
    assert spread is not None
    assert (spread.p50_ms, spread.p99_ms, spread.count) == (1.0, 1.0, 100 + NEWEST)


@given(st.integers(1, 60))
def test_a_rate_is_that_of_the_last_seconds(fps: int) -> None:
    rate = Rate()
    count = 0
    for quarter in range(40):
        rate.see(quarter * 250_000_000, count)
        count += fps * 4  # four times as fast at first
    for quarter in range(40, 80):
        rate.see(quarter * 250_000_000, count)
        count += fps
    assert rate.per_second() == pytest.approx(fps * 4, rel=0.01)
    assert Rate().per_second() == 0


def test_a_meter_measures_from_the_decoder_and_from_sending() -> None:
    meter = Meter()
    for number in range(10):
        meter.record(emissions.emission(number).result)
    age, answer = meter.spreads()
    assert age is not None
    assert answer is not None
    assert (age.p50_ms, answer.p50_ms) == (10.0, 8.0)
