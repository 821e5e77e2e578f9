"""Rows in another order are found again; others are not made the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.alignment import aligned

Arrays = dict[str, npt.NDArray[np.generic]]


def lists(seed: int, frames: int, rows: int) -> Arrays:
    generator = np.random.default_rng(seed)
    return {
        "boxes": generator.random((frames, rows, 4)).astype(np.float32) * 100,
        "scores": generator.random((frames, rows)).astype(np.float32),
        "classes": generator.integers(0, 9, (frames, rows)),
    }


def same(a: Arrays, b: Arrays) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


@given(st.integers(0, 999), st.integers(1, 3), st.integers(2, 40))
def test_any_order_is_brought_back_and_nothing_is_made_up(seed: int, frames: int, rows: int) -> None:
    expected = lists(seed, frames, rows)
    order = np.random.default_rng(seed + 1).permutation(rows)
    shuffled = {name: value[:, order] for name, value in expected.items()}
    assert same(aligned(expected, shuffled, 1e-4), expected)
    assert same(aligned(expected, expected, 1e-4), expected)
    other = lists(seed + 5000, frames, rows)
    assert same(aligned(expected, other, 1e-4), other)


def test_rounding_stays_in_the_answer() -> None:
    expected = lists(0, 1, 30)
    got = {name: value[:, ::-1].copy() for name, value in expected.items()}
    got["scores"] += np.float32(1e-5)
    made = aligned(expected, got, 1e-4)
    np.testing.assert_allclose(made["scores"], expected["scores"] + np.float32(1e-5), rtol=1e-6)
    assert same({"classes": made["classes"]}, {"classes": expected["classes"]})


@pytest.mark.parametrize(("missing", "mended"), [(1, True), (10, False)])
def test_the_last_place_may_go_to_another_row_but_not_many(missing: int, mended: bool) -> None:
    expected = lists(0, 1, 40)
    got = {name: value.copy() for name, value in expected.items()}
    got["boxes"][0, -missing:] += 50
    assert same(aligned(expected, got, 1e-4), expected if mended else got)


def test_lists_of_one_picture_have_their_rows_first() -> None:
    expected = {name: value[0] for name, value in lists(3, 1, 20).items()}
    got = {name: value[::-1].copy() for name, value in expected.items()}
    assert same(aligned(expected, got, 1e-4), expected)


def test_prototypes_beside_a_list_stay_in_their_order() -> None:
    expected = lists(4, 2, 30) | {"prototypes": np.random.default_rng(4).random((2, 6, 4, 4))}
    order = np.random.default_rng(5).permutation(30)
    got = {name: value[:, order] if name != "prototypes" else value for name, value in expected.items()}
    assert same(aligned(expected, got, 1e-4), expected)


def test_what_is_no_list_stays() -> None:
    got: Arrays = {"maps": np.zeros((1, 2000, 4)), "scores": np.zeros((1, 7))}
    assert same(aligned({"maps": np.ones((1, 2000, 4)), "scores": np.ones((1, 7))}, got, 1e-4), got)
