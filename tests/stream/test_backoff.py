"""Waits are jittered, grow, are capped, and never next to nothing; a picture is new by its own clock."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from kit.stream.backoff import BASE_S, FLOOR_S, Backoff, bound_s
from kit.stream.liveness import Liveness


@given(st.integers(), st.lists(st.booleans(), max_size=60))
def test_every_wait_is_within_its_bounds(seed: int, permanents: list[bool]) -> None:
    backoff = Backoff(random.Random(seed))
    for failures, permanent in enumerate(permanents):
        bound = bound_s(failures, permanent=permanent)
        wait_s = backoff.next_s(permanent=permanent)
        assert (bound / 2 if permanent else FLOOR_S) <= wait_s <= bound
        assert bound_s(failures + 1, permanent=permanent) >= bound


def test_bounds() -> None:
    assert [bound_s(n, permanent=False) for n in (0, 1, 2, 29, 30, 10_000)] == [0.5, 1, 1, 1, 10, 10]
    assert [bound_s(n, permanent=True) for n in (0, 1, 2, 3, 4, 10_000)] == [4, 8, 16, 32, 60, 60]


def test_cameras_that_fail_together_come_back_spread() -> None:
    """The fifth wait of 160 cameras: no tenth of the range is empty, and none holds most of them."""
    waits = []
    for seed in range(160):
        backoff = Backoff(random.Random(seed))
        waits.append([backoff.next_s(permanent=False) for _ in range(5)][-1])
    width_s = bound_s(4, permanent=False) / 10
    counts = [sum(n * width_s <= w < (n + 1) * width_s for w in waits) for n in range(10)]
    assert min(counts) > 0
    assert max(counts) < 40


def test_success_begins_the_series_anew() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(20):
        backoff.next_s(permanent=False)
    backoff.reset()
    assert backoff.next_s(permanent=False) <= BASE_S


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_rising_times_are_each_new_and_repeated_ones_never(times: list[float]) -> None:
    liveness = Liveness()
    for time_s in sorted(set(times)):
        assert liveness.advances(time_s)
        assert not liveness.advances(time_s)
        assert not liveness.advances(max(0.0, time_s - 0.1))


@given(st.floats(0, 1e6), st.floats(1.01, 1e6))
def test_a_jump_back_is_a_new_epoch(start_s: float, jump_s: float) -> None:
    liveness = Liveness()
    assert liveness.advances(start_s)
    assert liveness.advances(start_s - jump_s)
    assert liveness.advances(start_s - jump_s + 1)


@given(st.lists(st.one_of(st.none(), st.floats(0, 10))))
def test_a_source_without_times_is_live_as_long_as_it_gives(times: list[float | None]) -> None:
    liveness = Liveness()
    for time_s in times:
        assert liveness.advances(time_s) or time_s is not None
