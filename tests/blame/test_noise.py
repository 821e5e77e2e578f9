"""The sums by which tensors are compared: laws that hold for any numbers, in any portions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kit.blame.noise import CEILING_DB, Meter, Noise

FLOATS = arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-100, 100, width=32))


def noise(*pairs: tuple[np.ndarray, np.ndarray]) -> Noise:
    meter = Meter()
    for one, other in pairs:
        meter.add(one, other)
    return meter.read()


@given(FLOATS)
def test_a_tensor_equals_itself(values: np.ndarray) -> None:
    found = noise((values, values))
    assert (found.sqnr_db, found.maximum, found.nan) == (CEILING_DB, 0.0, 0)
    assert found.cosine == pytest.approx(1.0)


@given(FLOATS, st.integers(0, 60), st.integers(1, 5))
def test_portions_add_up(values: np.ndarray, cut: int, seed: int) -> None:
    other = values + np.random.default_rng(seed).normal(0, 1, values.shape).astype(np.float32)
    whole, parts = noise((values, other)), noise((values[:cut], other[:cut]), (values[cut:], other[cut:]))
    assert parts.sqnr_db == pytest.approx(whole.sqnr_db)
    assert parts.cosine == pytest.approx(whole.cosine)
    assert (parts.maximum, parts.elements) == (whole.maximum, whole.elements)


@given(st.floats(1e-6, 0.5), st.integers(0, 3))
def test_sqnr_is_that_of_the_noise_that_was_added(share: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    values = chance.normal(0, 1, 4000)
    added = chance.normal(0, share, 4000)
    assert noise((values, values + added)).sqnr_db == pytest.approx(-20 * np.log10(share), abs=1.0)


@given(FLOATS, st.floats(0.01, 100))
def test_sqnr_does_not_depend_on_the_scale(values: np.ndarray, scale: float) -> None:
    wide = values.astype(np.float64) + 1
    one, other = noise((wide, wide * 1.01)), noise((wide * scale, wide * scale * 1.01))
    assert one.sqnr_db == pytest.approx(other.sqnr_db, abs=0.01)


def test_nan_and_infinity_in_the_second_alone_are_counted_and_left_out_of_the_sums() -> None:
    values = np.array([1, 2, np.nan, np.inf, 3], np.float32)
    got = np.array([np.nan, np.inf, np.nan, np.inf, 3], np.float32)
    found = noise((values, got))
    assert found.nan == 2
    assert found.sqnr_db == CEILING_DB


def test_zeros_that_are_not_zero_any_more_are_all_noise() -> None:
    assert noise((np.zeros(9), np.ones(9))).sqnr_db == -CEILING_DB
    assert noise((np.zeros(9), np.ones(9))).cosine == 0.0
    assert noise((np.zeros(9), np.full(9, 1e-9))).sqnr_db == CEILING_DB


def test_more_than_a_block_at_once() -> None:
    values = np.ones(3_000_000, np.float32)
    found = noise((values, values + np.float32(0.1)))
    assert found.elements == 3_000_000
    assert found.sqnr_db == pytest.approx(20, abs=0.1)
