"""The laws of the order of choice: beginnings cover, rare kinds are there, nothing is there twice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.calibration import coverage

Floats = npt.NDArray[np.float32]


@st.composite
def clouds(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Places [P, 5] in clouds of different sizes, some of them of single points, and measures [P, 6]."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    sizes = draw(st.lists(st.integers(1, 120), min_size=1, max_size=8))
    centres = rng.normal(0, 3, (len(sizes), 5))
    places = np.concatenate([c + rng.normal(0, 0.2, (n, 5)) for c, n in zip(centres, sizes, strict=True)])
    places = np.repeat(places, draw(st.integers(1, 2)), axis=0)
    return places.astype(np.float32), rng.random((len(places), 6)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(clouds(), st.integers(1, 200), st.integers(1, 200))
def test_fewer_are_the_beginning_of_more(cloud: tuple[Floats, Floats], one: int, other: int) -> None:
    places, measures = cloud
    kinds = coverage.kinds(places)
    fewer, more = (coverage.order(places, kinds, measures, count) for count in sorted((one, other)))
    assert np.array_equal(more[: len(fewer)], fewer)
    assert len(fewer) == min(one, other, len(places))
    assert len(set(more.tolist())) == len(more)


@settings(max_examples=30, deadline=None)
@given(clouds())
def test_every_kind_and_every_extreme_is_there_before_any_kind_is_there_twice(cloud: tuple[Floats, Floats]) -> None:
    places, measures = cloud
    kinds = coverage.kinds(places)
    order = coverage.order(places, kinds, measures, kinds.count + 12)
    assert set(kinds.of[order].tolist()) == set(range(kinds.count))
    for values in measures.T:
        chosen = values[order]
        assert (chosen.min(), chosen.max()) == (values.min(), values.max())


@settings(max_examples=30, deadline=None)
@given(clouds())
def test_kinds_are_numbered_from_the_commonest_and_leave_no_picture_out(cloud: tuple[Floats, Floats]) -> None:
    places, _ = cloud
    kinds = coverage.kinds(places)
    sizes = np.bincount(kinds.of, minlength=kinds.count)
    assert len(kinds.of) == len(places)
    assert sizes.min() >= 1
    assert (np.diff(sizes) <= 0).all()


@settings(max_examples=30, deadline=None)
@given(clouds(), st.integers(1, 100))
def test_variety_rises_with_every_picture_to_all_of_it(cloud: tuple[Floats, Floats], count: int) -> None:
    places, measures = cloud
    kinds = coverage.kinds(places)
    order = coverage.order(places, kinds, measures, len(places))
    shares = [coverage.variety(places, kinds, order[:n]) for n in (1, count, len(places))]
    assert shares == sorted(shares)
    assert shares[-1] > 0.999 or np.allclose(places, places[0])


def test_a_rare_kind_is_there_and_a_common_one_does_not_crowd_it_out() -> None:
    rng = np.random.default_rng(7)
    common, rare = rng.normal(0, 1, (950, 8)), rng.normal(9, 1, (50, 8))
    places = np.concatenate((common, rare)).astype(np.float32)
    order = coverage.order(places, coverage.kinds(places), rng.random((1000, 6)).astype(np.float32), 100)
    share = (order >= 950).mean()
    assert 0.1 < share < 0.5  # of 5 %: enough to be seen, and not taken for the usual


def test_places_of_one_point_are_no_trouble() -> None:
    places = np.zeros((50, 4), np.float32)
    kinds = coverage.kinds(places)
    order = coverage.order(places, kinds, np.zeros((50, 6), np.float32), 40)
    assert (kinds.count, len(set(order.tolist()))) == (1, 40)
    assert coverage.variety(places, kinds, order) == 1


def test_a_video_that_stands_still_is_taken_from_all_over_its_time() -> None:
    from kit.calibration.features import Looks

    one = {"vectors": (500, 132), "measures": (500, 6), "prints": (500, 32), "smalls": (500, 32, 32), "smoothness": 500}
    still = Looks(**{name: np.zeros(shape, np.float32) for name, shape in one.items()})
    places = coverage.points(still, np.linspace(0, 1, 500, dtype=np.float32))
    order = coverage.order(places, coverage.kinds(places), still.measures, 50)
    gaps = np.diff(np.sort(order))
    assert gaps.max() <= 25
