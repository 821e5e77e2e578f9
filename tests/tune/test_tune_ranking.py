"""The order of what was measured: intervals, what is as good, and what none beats."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.tune import ladder, ranking
from kit.tune.ladder import CLOSE, QUICK
from kit.tune.values import Candidate, Measurement, Need, Stage, Step

NEED = Need(p99_ms=50)
ONE = Candidate(instances=1, max_batch_size=1, queue_delay_us=0, threads=1)


def step(rate: float, p99: float | None, *, held: bool | None = None) -> Step:
    held = p99 is not None and p99 <= 50 if held is None else held
    return Step(asked_rate=rate, rate=rate, p50_ms=1, p99_ms=p99, fail_ratio=0, mean_batch=None, held=held)


def measured(
    capacity: float, *, instances: int = 1, stage: Stage = Stage.CONFIRM, memory: int = 100, failed: str = ""
) -> Measurement:
    steps = () if failed else (step(capacity, 40), step(capacity * 1.1, 60))
    candidate = replace(ONE, instances=instances)
    return Measurement(
        candidate=candidate, stage=stage, steps=steps, capacity=capacity, memory_bytes=memory, failed=failed
    )


def chosen(*measurements: Measurement) -> int:
    best = ranking.best(ranking.ranked(measurements, NEED))
    assert best is not None
    return best.candidate.instances


def test_of_those_that_cannot_be_told_apart_the_least_memory_wins() -> None:
    wide = [measured(100, instances=1, memory=900), measured(90, instances=1, memory=900)]
    assert chosen(*wide, measured(95, instances=2, memory=300), measured(93.5, instances=2, memory=300)) == 2
    assert chosen(*wide, measured(80, instances=2, memory=300), measured(81, instances=2, memory=300)) == 1


def test_a_look_is_no_confirmation() -> None:
    assert chosen(measured(900, instances=2, stage=Stage.SEARCH), measured(100)) == 1
    assert chosen(measured(900, instances=2, stage=Stage.SEARCH), measured(100, stage=Stage.SEARCH)) == 2


def test_one_failure_among_others_is_not_the_candidates_and_the_rule_is() -> None:
    once = ranking.ranked([measured(0, failed="the server was away"), measured(75), measured(74)], NEED)[0]
    assert (once.low, once.capacity, once.high) == (74, 74.5, 75)
    assert len(once.measurements) == 3
    often = ranking.ranked([measured(0, failed="died"), measured(0, failed="died"), measured(74)], NEED)[0]
    assert often.capacity == 0
    assert ranking.best([often]) is None


def test_a_single_measurement_lies_between_its_steps() -> None:
    found = ranking.ranked([measured(100)], NEED)[0]
    assert found.low == 100
    assert found.high == pytest.approx(110)


def test_p99_is_that_of_the_rate_that_is_needed() -> None:
    steps = (step(10, 8), step(20, 12), step(30, 33))
    made = replace(measured(30), steps=steps)
    assert ranking.ranked([made], Need(p99_ms=50, cameras=1, fps=18))[0].p99_ms == 12
    assert ranking.ranked([made], NEED)[0].p99_ms == 33


ranks = st.builds(
    measured,
    st.floats(1, 1000),
    instances=st.integers(1, 30),
    memory=st.integers(1, 10**9),
    stage=st.sampled_from((Stage.SEARCH, Stage.CONFIRM)),
)


@given(st.lists(ranks, min_size=1, max_size=12))
def test_the_best_is_never_far_below_another_and_the_frontier_beats_the_rest(found: list[Measurement]) -> None:
    order = ranking.ranked(found, NEED)
    confirmed = [e for e in order if any(m.stage is Stage.CONFIRM for m in e.measurements)] or order
    best = ranking.best(order)
    assert best is not None
    assert best.capacity >= 0.98 * max(each.capacity for each in confirmed)
    edge = ranking.frontier(order)
    assert max(each.capacity for each in edge) == order[0].capacity
    for each in order:
        beaten = any(
            o.capacity >= each.capacity and (o.memory_bytes or 0) <= (each.memory_bytes or 0)
            and (o.p99_ms or 0) <= (each.p99_ms or 0) and o is not each for o in edge
        )  # fmt: skip
        assert each in edge or beaten


@given(st.floats(0.5, 5000), st.sampled_from((QUICK, CLOSE)), st.integers(0, 50))
def test_ladders_rise_and_meet_what_is_needed(expected: float, effort: ladder.Effort, cameras: int) -> None:
    need = Need(p99_ms=50, cameras=cameras)
    rates = ladder.rates(expected, effort, need)
    assert list(rates) == sorted(set(rates))
    assert rates[0] > 0
    if need.rate is not None and rates[0] <= need.rate <= rates[-1]:
        assert need.rate in rates


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(0.1, 500)), min_size=1, max_size=9, unique_by=lambda s: s[0]))
def test_a_capacity_lies_between_the_last_that_held_and_the_first_that_did_not(
    found: list[tuple[float, float]],
) -> None:
    steps = tuple(step(rate, p99) for rate, p99 in sorted(found))
    capacity = ladder.capacity(steps, NEED)
    broken = next((number for number, each in enumerate(steps) if not each.held), len(steps))
    low = steps[broken - 1].asked_rate if broken else 0
    high = steps[broken].asked_rate if broken < len(steps) else low
    assert low <= capacity <= max(low, high)
    assert (capacity == 0) == (not steps[0].held)


def test_the_search_for_the_edge_goes_down_up_and_ends() -> None:
    held, not_held = (step(10, 10), step(20, 20)), (step(10, 80), step(20, 90))
    assert ladder.further(held, QUICK, NEED)[0] > 20
    assert ladder.further(not_held, QUICK, NEED)[-1] < 10
    assert ladder.further((held[0], not_held[1]), QUICK, NEED) == ()
