"""The open loop and the closed one, in greenlets of this process, with a connection that does what a test says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from kit.load.driving import Driver, Loaded
from kit.load.profile import Profile, held
from kit.load.protocols.interface import Waiting
from kit.load.recording import Due, Recorder
from kit.load.values import Cell, ModelShare, Plan
from kit.load.waiting import Alarm
from kit.stream.failures import CLOSED, CallFailedError, Failure, Trouble


class Scripted(Waiting):
    """A connection whose answers take as long as a function says; it remembers when it was asked."""

    def __init__(self, behave: Callable[[int], float]) -> None:
        self.behave = behave
        self.asked_s: list[float] = []

    def send(self, request: object, timeout_s: float) -> None:
        self.asked_s.append(time.monotonic())
        gevent.sleep(self.behave(len(self.asked_s)))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was not expected")


def driven(
    behave: Callable[[int], float], *, profile: Profile, arrivals: str | None = "constant", **changes: Any
) -> tuple[Cell, Scripted, float]:
    share = ModelShare(name="m")
    plan = Plan(url="x", models=(share,), profile=profile, arrivals=arrivals, warmup_s=0.0, **changes)
    connection = Scripted(behave)
    driver = Driver(plan=plan, connection=connection, loaded=(Loaded(share=share, requests=("a", "b")),))
    start_s = time.monotonic() + 0.05
    recorder = Recorder(plan=plan, generator=0, start_s=start_s)
    if arrivals is None:
        while time.monotonic() < start_s + profile.seconds:
            driver.closed_loop(recorder)
    else:
        driver.open_loop(recorder, part=0, parts=1)
    total = Cell(phase=0, second=0, model="m")
    for cell in recorder.told(ended=True).cells:
        total.merge(cell)
    return total, connection, start_s


def test_requests_are_sent_when_they_are_due_whatever_became_of_those_before() -> None:
    total, connection, start_s = driven(lambda n: 1.5 if n == 1 else 0.0, profile=held([50.0], 0.6), late_ms=1e4)
    assert (total.due, total.answered, total.failed) == (30, 30, 0)
    asked_s = [at_s - start_s for at_s in connection.asked_s]
    assert all(asked >= number / 50 - 1e-3 for number, asked in enumerate(asked_s)), "none before its time"
    assert asked_s[10] < asked_s[0] + 1.5, "the first one's answer is not waited for"


def test_latency_counts_from_when_a_request_was_due() -> None:
    def stall(number: int) -> float:
        if number == 2:
            time.sleep(0.2)  # this whole process stands still, as a generator does that has no CPU
        return 0.001

    total, _, _ = driven(stall, profile=held([50.0], 0.5), late_ms=50.0)
    longest, served = total.response.percentile_ms(100), total.service.percentile_ms(50)
    assert longest is not None
    assert served is not None
    assert longest > 150
    assert served < 100
    assert total.late >= 3, "those that were due meanwhile were sent late"


def test_more_than_may_be_under_way_are_refused() -> None:
    total, connection, _ = driven(lambda _: 1.0, profile=held([100.0], 0.2), in_flight=4, late_ms=1e4)
    assert total.due == 20
    assert total.answered == len(connection.asked_s) == 4
    assert total.refused == 16


def test_a_rate_that_nobody_can_send_ends_all_the_same() -> None:
    total, _, start_s = driven(lambda _: 0.0, profile=held([1e9], 0.2), in_flight=1, timeout_s=0.3)
    assert time.monotonic() < start_s + 5
    assert 0 < total.due < 1e8


def test_failures_are_counted_by_their_words() -> None:
    def fail(number: int) -> float:
        if number % 2:
            raise CallFailedError(Failure(trouble=Trouble.FAILED, text="boom"))
        return 0.0

    total, _, _ = driven(fail, profile=held([40.0], 0.25), late_ms=1e4)
    assert (total.answered, total.errors, total.failed) == (5, {"boom": 5}, 5)


def test_what_is_given_up_at_the_end_has_not_failed() -> None:
    share = ModelShare(name="m")
    plan = Plan(url="x", models=(share,), profile=held([1.0], 1.0), arrivals=None)
    recorder = Recorder(plan=plan, generator=0, start_s=time.monotonic())
    connection = Scripted(lambda _: 0.0)
    connection.submit = lambda request, timeout_s, done: done(CLOSED)  # type: ignore[method-assign]
    driver = Driver(plan=plan, connection=connection, loaded=(Loaded(share=share, requests=("a",)),), stopping=True)
    due = Due(phase=0, model="m", at_s=time.monotonic())
    driver.start(driver.loaded[0], due, recorder)
    assert (recorder.in_flight, recorder.told().cells) == (0, ())
    driver.stopping = False
    driver.start(driver.loaded[0], due, recorder)
    (cell,) = recorder.told().cells
    assert cell.errors == {CLOSED.text: 1}, "a connection that somebody else closed is another matter"


def test_a_user_waits_for_each_answer_and_is_never_late() -> None:
    total, _, _ = driven(lambda _: 0.02, profile=held([1.0], 0.3), arrivals=None, late_ms=0.001)
    assert 1 <= total.answered <= 18
    assert total.failed == 0


def test_a_lost_server_is_noticed_until_it_answers_again() -> None:
    plan = Plan(url="x", models=(ModelShare(name="m"),), profile=held([1.0], 1.0))
    recorder = Recorder(plan=plan, generator=0, start_s=0.0)
    due, now_s = Due(phase=0, model="m", at_s=time.monotonic()), time.monotonic()
    lost = Failure(trouble=Trouble.UNREACHABLE, text="gone")
    recorder.ended(due, now_s, now_s - 5, lost)
    assert recorder.told().lost_s >= 5
    recorder.ended(due, now_s, now_s, None)
    assert recorder.told().lost_s == 0


@pytest.mark.parametrize("without_timer", [False, True])
def test_an_alarm_never_comes_early_and_others_work_meanwhile(without_timer: bool) -> None:
    turns = 0

    def work() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0.001)
            turns += 1

    worker = gevent.spawn(work)
    with Alarm() as alarm:
        if without_timer:
            os.close(alarm._file)
            alarm._file = -1
        for wait_s in (0.05, 0.0003, -1.0):
            moment_s = time.monotonic() + wait_s
            alarm.wait_until(moment_s)
            assert time.monotonic() >= moment_s - 1e-3
    worker.kill()
    assert turns > 0
