"""Policy on counts that were made up: what is held, what is not, and what cannot be said."""

import time

import pytest
from counts import cell, outcome

from kit.load import serverside
from kit.load.outcome import Collected, End
from kit.load.profile import held
from kit.load.protocols.interface import BatchCount, Counted
from kit.load.serverside import Seen
from kit.load.values import Message, ModelShare, Plan
from kit.load.verdict import Limits, State, judge

LATE = Limits(percentiles_ms={99.0: 50.0}, fail_ratio=0.001, min_rate=9.0)


def test_a_load_that_keeps_within_all_limits_is_held() -> None:
    verdict = judge(outcome(cell(0), cell(1), cell(2)), LATE)
    assert (verdict.state, verdict.reasons, verdict.notes) == (State.HELD, (), ())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"times_ms": (20.0,) * 9 + (60.0,)}, "p99 is 60.0"),
        ({"errors": {"boom": 1}}, "3.333% failed, allowed are 0.100%"),
        ({"refused": 2}, "6.667% failed"),
        ({"times_ms": (20.0,) * 5}, "8.3 answers a second, asked for are 9"),
    ],
)
def test_each_limit_is_told_when_it_breaks(changed: dict[str, object], words: str) -> None:
    verdict = judge(outcome(cell(0), cell(1), cell(2, **changed)), LATE)
    assert verdict.state is State.NOT_HELD
    assert words in " ".join(verdict.reasons)


def test_no_verdict_where_nothing_was_due_or_answered() -> None:
    assert "no request was due" in judge(outcome(), LATE).reasons[0]
    silent = judge(outcome(cell(0, answered=0, errors={"boom": 10})), LATE)
    assert (silent.state, silent.reasons) == (State.NOT_MEASURABLE, ("not one request was answered",))


def test_no_verdict_where_the_generator_was_what_is_slow() -> None:
    busy = judge(outcome(cell(0), busy=0.95), LATE)
    assert busy.state is State.NOT_MEASURABLE
    assert "the generator was the bottleneck: a process of it used 95% of a core; try --processes 2" in busy.reasons
    late = judge(outcome(cell(0), cell(1), cell(2, late=1), arrivals="constant"), LATE)
    assert "could not keep its schedule: 3.3%" in late.reasons[0]


def test_requests_that_never_came_to_their_turn_are_missed_ones() -> None:
    found = outcome(cell(0), cell(1), arrivals="constant")
    assert found.generators.schedule_error == pytest.approx(1 / 3)


@pytest.mark.parametrize("end", [End.SERVER_LOST, End.GENERATOR_LOST])
def test_no_verdict_where_one_side_was_lost(end: End) -> None:
    verdict = judge(outcome(cell(0), cell(1), end=end), LATE)
    assert verdict.state is State.NOT_MEASURABLE
    assert verdict.reasons == (f"{end.value} after 3 s",)


def test_the_knee_is_the_last_step_before_the_first_that_gives_way() -> None:
    profile = held([10.0, 20.0, 40.0, 80.0], 4.0)
    steps = [
        cell(0), cell(1, times_ms=(20.0,) * 20, phase=1), cell(2, times_ms=(90.0,) * 40, phase=2),
        cell(3, times_ms=(20.0,) * 80, phase=3),
    ]  # fmt: skip
    limits = Limits(percentiles_ms={99.0: 50.0}, min_rate=15.0)
    verdict = judge(outcome(*steps, profile=profile), limits, steps=True)
    assert verdict.knee is not None
    assert (verdict.state, verdict.knee.load) == (State.HELD, (20.0, 20.0))
    more = judge(outcome(*steps, profile=profile), Limits(percentiles_ms={99.0: 50.0}, min_rate=30.0), steps=True)
    assert more.reasons == ("it gives way above 20.0 a second, asked for are 30",)


def test_a_step_whose_answers_come_more_slowly_than_requests_gives_way() -> None:
    behind = cell(0, due=20)
    assert judge(outcome(behind, profile=held([20.0, 40.0], 2.0)), Limits(), steps=True).knee is None


def test_thirds_that_differ_are_not_stable() -> None:
    slower = cell(2, times_ms=(30.0,) * 10)
    found = outcome(cell(0), cell(1), slower).stability
    assert found is not None
    assert (found.stable, round(found.latency_ratio, 2), found.rate_ratio) == (False, 1.5, 1.0)
    steady = outcome(cell(0), cell(1), cell(2)).stability
    assert steady is not None
    assert steady.stable


def test_counts_of_generators_add_up_and_the_warm_up_is_left_out() -> None:
    plan = Plan(url="x", models=(ModelShare(name="m"),), profile=held([10.0], 2.0), generators=2)
    collected = Collected(plan=plan)
    for number in (0, 1):
        collected.take(
            Message(generator=number, wall_s=time.time(), started_s=time.time() - 1, busy=0, in_flight=0,
                    cells=(cell(-1), cell(0)), ended=True)
        )  # fmt: skip
    assert collected.all_ended
    assert [c.due for c in collected.cells.values()] == [20]


def counted(requests: int, queue_ms: int, batches: dict[int, BatchCount]) -> Counted:
    return Counted(
        requests=requests, failed=0, inferences=2 * requests, executions=requests, request_ns=requests * 10**7,
        queue_ns=queue_ms * 10**6, input_ns=0, infer_ns=0, output_ns=0, batches=batches,
    )  # fmt: skip


def test_the_servers_figures_are_those_between_two_askings() -> None:
    seen = [
        Seen(wall_s=0, counted={"m": counted(5, 7, {2: BatchCount(executions=5, compute_ns=5)})}),
        Seen(wall_s=1, counted={"m": counted(10, 20, {2: BatchCount(executions=10, compute_ns=10 * 10**6)})}),
        Seen(wall_s=5, counted={"m": counted(50, 60, {2: BatchCount(executions=50, compute_ns=90 * 10**6)})}),
    ]
    found = serverside.served(seen, ModelShare(name="m"), 1.5, 4.0)
    assert found is not None
    assert (found.requests, found.queue_ms, found.request_ms, found.mean_batch) == (40, 1.0, 10.0, 2.0)
    assert [(b.size, b.executions, b.compute_ms) for b in found.batches] == [(2, 40, 2.0)]
    assert serverside.served(seen[:1], ModelShare(name="m"), 0, 1) is None
    assert serverside.served(seen[::-1], ModelShare(name="m"), 0, 9) is None
