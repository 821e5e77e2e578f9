"""Two models timed in turn: the ratio is theirs, whatever the machine does meanwhile."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from kit import latency


class Machine:
    """A clock that the work moves on, at a speed that changes."""

    def __init__(self, seed: int = 0, noise: float = 0.0) -> None:
        self.now, self.slow = 0.0, 1.0
        self._random, self._noise = random.Random(seed), noise

    def work(self, seconds: float) -> None:
        self.now += seconds * self.slow * (1 + self._noise * self._random.random())

    def clock(self) -> float:
        return self.now


@given(st.floats(1e-4, 0.2), st.floats(1e-4, 0.2))
def test_the_ratio_is_that_of_the_work(first: float, second: float) -> None:
    machine = Machine()
    found = latency.beside(
        lambda: machine.work(first), lambda: machine.work(second), batch=1, seconds=0.1, clock=machine.clock
    )
    assert abs(found.ratio - second / first) < 1e-6 * found.ratio
    assert found.low <= found.ratio <= found.high
    assert found.first.answers == found.second.answers >= 15


def test_a_machine_that_gets_slower_changes_no_ratio() -> None:
    machine = Machine(noise=0.3)

    def drifting(seconds: float) -> None:
        machine.slow *= 1.01
        machine.work(seconds)

    found = latency.beside(lambda: drifting(0.01), lambda: drifting(0.005), batch=1, seconds=5, clock=machine.clock)
    assert 0.4 < found.ratio < 0.6
    assert found.low <= found.ratio <= found.high


def test_it_ends_after_the_time_that_it_was_given() -> None:
    machine = Machine()
    latency.beside(lambda: machine.work(0.05), lambda: machine.work(0.05), batch=1, seconds=2, clock=machine.clock)
    assert machine.now < 2.6


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_percentiles_are_ordered_times_that_were_seen(seconds: list[float]) -> None:
    found = latency.percentiles(seconds)
    assert found.p50_ms <= found.p90_ms <= found.p99_ms
    assert found.p99_ms / 1e3 <= max(seconds) * (1 + 1e-9)
    assert found.answers == len(seconds)
