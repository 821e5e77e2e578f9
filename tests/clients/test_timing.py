import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timing import Timing, percentile, table

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)
PERCENTS = st.floats(0.1, 100)


@given(VALUES, PERCENTS)
def test_a_percentile_is_numpys_by_the_inverted_distribution(values: list[float], percent: float) -> None:
    shares = len(values) * percent / 100
    if abs(shares - round(shares)) > 1e-9:  # there, rounding decides between two neighbours
        assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")


@given(VALUES, PERCENTS)
def test_at_least_so_many_values_are_not_above_it(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(v <= found for v in values) >= len(values) * percent / 100 - 1e-9


def test_percentiles_of_a_hundred_values_are_the_values_themselves() -> None:
    assert [percentile(range(1, 101), p) for p in (1, 50, 90, 99, 100)] == [1, 50, 90, 99, 100]


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_there_is_no_percentile(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match=rf"^no {percent}th percentile of {len(values)} values$"):
        percentile(values, percent)


def test_the_table() -> None:
    timings = [Timing(in_flight=1, latencies_ms=(10.0, 20.0), seconds=0.04)]
    assert table(timings).splitlines() == [
        "requests in flight   frames/s     p50 ms     p90 ms     p99 ms",
        "                 1       50.0       10.0       20.0       20.0",
    ]
