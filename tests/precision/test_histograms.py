"""Ranges of activations: what is counted does not depend on the order, and each method gives a range that holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kit.precision import _histogram
from kit.precision._histogram import METHODS, Grid, Seen

FINITE = st.floats(-1e6, 1e6, width=32).filter(lambda v: v == 0 or abs(v) > 1e-20)
PICTURES = st.lists(arrays.arrays(np.float32, st.integers(1, 40), elements=FINITE), min_size=1, max_size=6)


def counted(pictures: list[np.ndarray]) -> Seen:
    seen = _histogram.nothing()
    for values in pictures:
        seen = _histogram.added(seen, values, float(values.min()), float(values.max()))
    return seen


@settings(max_examples=40, deadline=None)
@given(PICTURES, st.randoms(use_true_random=False))
def test_the_order_of_pictures_does_not_matter(pictures: list[np.ndarray], chance) -> None:
    mixed = list(pictures)
    chance.shuffle(mixed)
    one, other = counted(pictures), counted(mixed)
    assert (one.low, one.high, one.reach) == (other.low, other.high, other.reach)
    assert np.array_equal(one.counts, other.counts)


@settings(max_examples=40, deadline=None)
@given(PICTURES)
def test_nothing_is_lost_and_the_limits_are_exact(pictures: list[np.ndarray]) -> None:
    seen = counted(pictures)
    every = np.concatenate(pictures)
    assert seen.low == min(0.0, every.min())
    assert seen.high == max(0.0, every.max())
    assert seen.counts.sum() == every.size
    if seen.reach:
        assert seen.largest <= seen.reach < 2 * seen.largest + 1e-30 or seen.largest == 0


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(pictures=PICTURES, symmetric=st.booleans())
def test_a_range_holds_zero_and_nothing_that_was_not_seen(method: str, pictures, symmetric: bool) -> None:
    seen = counted(pictures)
    low, high = METHODS[method](seen, Grid(levels=254 if symmetric else 255, symmetric=symmetric))
    assert seen.low <= low <= 0 <= high <= seen.high
    if seen.largest:
        assert high > low


def test_methods_clip_outliers_and_keep_what_matters() -> None:
    chance = np.random.default_rng(0)
    values = chance.normal(size=200_000).astype(np.float32)
    values[:3] = 1000.0  # three outliers: with all of them in the range, a step is four
    seen = counted([values])
    grid = Grid()
    error = {}
    for name, method in METHODS.items():
        low, high = method(seen, grid)
        step = grid.step(low, high)
        rounded = np.clip(np.round(values / step) * step, low, high)
        error[name] = float(np.median((rounded - values) ** 2))
    assert METHODS["minmax"](seen, grid)[1] == 1000
    assert all(error[name] < error["minmax"] / 100 for name in ("percentile", "entropy"))


def test_mean_square_error_weighs_clipping_against_rounding() -> None:
    chance = np.random.default_rng(0)
    seen = counted([chance.laplace(size=100_000).astype(np.float32)])
    grid = Grid()

    def error(limits: tuple[float, float]) -> float:
        values = chance.laplace(size=100_000)
        step = grid.step(*limits)
        return float(np.mean((np.clip(np.round(values / step) * step, *limits) - values) ** 2))

    chosen = METHODS["mse"](seen, grid)
    assert error(chosen) <= min(error((seen.low, seen.high)), error((seen.low / 4, seen.high / 4)))


def test_relu_loses_no_level_to_numbers_below_zero() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=10_000), 0).astype(np.float32)
    assert all(method(counted([values]), Grid())[0] == 0 for method in METHODS.values())


def test_a_tensor_that_is_always_zero_has_a_range() -> None:
    seen = counted([np.zeros(8, np.float32)])
    assert all(method(seen, Grid()) == (0.0, 0.0) for method in METHODS.values())
