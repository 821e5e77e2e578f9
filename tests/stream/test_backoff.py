"""Waits are jittered, grow, are capped, and never next to nothing; a picture is new by its own clock."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from kit.stream.backoff import BASE_S, CAP_S, FLOOR_S, PERMANENT_CAP_S, Backoff
from kit.stream.liveness import Liveness


@given(st.integers(), st.lists(st.booleans(), max_size=60))
def test_every_wait_is_within_its_bounds(seed: int, permanents: list[bool]) -> None:
    backoff = Backoff(random.Random(seed))
    for failures, permanent in enumerate(permanents):
        wait_s = backoff.next_s(permanent=permanent)
        bound = min(PERMANENT_CAP_S, 8 * BASE_S * 2**failures) if permanent else min(CAP_S, BASE_S * 2**failures)
        assert (bound / 2 if permanent else FLOOR_S) <= wait_s <= bound


def test_cameras_that_fail_together_come_back_spread() -> None:
    """16 cameras, five failures each: no tenth of the range of waits is empty, and none holds most of them."""
    waits = []
    for seed in range(160):
        backoff = Backoff(random.Random(seed))
        waits.append([backoff.next_s(permanent=False) for _ in range(5)][-1])
    counts = [sum(low <= w < low + 0.8 for w in waits) for low in (n * 0.8 for n in range(10))]
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
    for time_s, known in itertools.product(times, [False]):
        if time_s is None or known:
            assert liveness.advances(None)
        else:
            liveness.advances(time_s)
