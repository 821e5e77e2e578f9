"""The rules of sending, against a server that does what a test says."""

import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fake_server import FakeServer, RefusedError, running, wait_for
from outcomes import Outcome, frame

from kit.stream.channel import Channel
from kit.stream.contract import ModelOptions
from kit.stream.requests import Dispatcher, RequestOptions
from kit.stream.results import Cause, Change, Result, Tensors


def slow(seconds: float) -> FakeServer:
    return FakeServer(behave=lambda _: time.sleep(seconds))


def test_every_frame_has_one_end_and_the_sum_is_right() -> None:
    outcome = Outcome()
    with running(slow(0.003)) as fake:
        with outcome.dispatcher(fake.url, per_camera=2, overall=3) as dispatcher:
            assert dispatcher.wait_until_ready(20)
            for number in range(300):
                dispatcher.submit(frame("abc"[number % 3], number))
                if number % 4 == 0:
                    time.sleep(0.001)
                counts = dispatcher.counts
                assert counts.submitted == number + 1
                ended = counts.emitted + sum(counts.dropped.values())
                assert counts.submitted == ended + counts.waiting + counts.in_flight
        ends = Counter(r.frame.number for r in outcome.results) + Counter(d.frame.number for d in outcome.drops)
        assert ends == Counter(range(300))
        assert dispatcher.counts.dropped == Counter(d.cause for d in outcome.drops)
        assert fake.most_at_once <= 3
        assert len(outcome.results) > 5


def test_a_result_says_whose_it_is_and_when() -> None:
    outcome = Outcome()
    with running(FakeServer(version="7")) as fake, outcome.dispatcher(fake.url) as dispatcher:
        for number in (5, 6):
            dispatcher.submit(frame("door", number))
            assert wait_for(lambda n=number: len(outcome.results) == n - 4)  # type: ignore[misc]
        for result in outcome.results:
            assert isinstance(result.output, Tensors)
            assert result.output.arrays["pixel"].tolist() == [result.frame.number]
            assert (result.model, result.version, result.wire) == ("echo", "7", "inline")
            assert result.frame.captured_ns <= result.sent_ns <= result.received_ns <= result.emitted_ns


def test_the_newest_frame_wins_and_the_caps_hold() -> None:
    outcome, gate = Outcome(), threading.Event()
    with running(FakeServer(behave=lambda _: gate.wait(60))) as fake:
        with outcome.dispatcher(fake.url, per_camera=1, overall=2, freshness_s=10) as dispatcher:
            assert dispatcher.wait_until_ready(20)
            dispatcher.submit(frame("a", 0))
            assert wait_for(lambda: dispatcher.counts.in_flight == 1)
            for number in range(1, 5):
                dispatcher.submit(frame("a", number))
            assert dispatcher.counts.in_flight == 1  # its cap
            dispatcher.submit(frame("b", 10))
            assert wait_for(lambda: dispatcher.counts.in_flight == 2)
            dispatcher.submit(frame("c", 20))
            time.sleep(0.05)
            assert dispatcher.counts.in_flight == 2  # the cap of all
            gate.set()
            assert wait_for(lambda: len(outcome.results) == 4)
        assert {r.frame.number for r in outcome.results} == {0, 4, 10, 20}
        assert [(d.frame.number, d.cause) for d in outcome.drops] == [(n, Cause.IN_FLIGHT) for n in (1, 2, 3)]


def test_cameras_share_fairly_whatever_their_speed() -> None:
    outcome, ended = Outcome(), threading.Event()

    def film(camera: str, pause_s: float) -> None:
        for number in range(10_000):
            if ended.wait(pause_s):
                return
            dispatcher.submit(frame(camera, number))

    with running(slow(0.04)) as fake:
        with outcome.dispatcher(fake.url, per_camera=1, overall=1) as dispatcher:
            assert dispatcher.wait_until_ready(20)
            threads = [threading.Thread(target=film, args=a) for a in (("fast", 0.001), ("b", 0.004), ("c", 0.004))]
            [t.start() for t in threads]
            assert wait_for(lambda: len(outcome.results) >= 30, 30)
            ended.set()
            [t.join() for t in threads]
        shares = Counter(r.frame.camera for r in outcome.results)
        assert max(shares.values()) - min(shares.values()) <= 3, shares


def test_one_budget_is_the_deadline_and_tritons_own_timeout() -> None:
    outcome, gate = Outcome(), threading.Event()
    with (
        running(FakeServer(behave=lambda _: gate.wait(60))) as fake,
        outcome.dispatcher(fake.url, freshness_s=1, drain_s=0) as dispatcher,
    ):
        assert dispatcher.wait_until_ready(20)
        began = time.monotonic()
        dispatcher.submit(frame(number=1, age_s=0.4))
        assert wait_for(lambda: bool(outcome.drops))
        assert 0.55 < time.monotonic() - began < 5
        gate.set()
        assert outcome.causes() == {Cause.DEADLINE}
        microseconds = fake.requests[0].parameters["timeout"].int64_param
        assert 100_000 < microseconds <= 600_000


def test_a_frame_that_is_too_old_is_not_sent() -> None:
    outcome = Outcome()
    with running(FakeServer()) as fake, outcome.dispatcher(fake.url, freshness_s=0.2) as dispatcher:
        assert dispatcher.wait_until_ready(20)
        dispatcher.submit(frame(number=1, age_s=0.3))
        assert wait_for(lambda: bool(outcome.drops))
        assert (outcome.causes(), fake.requests) == ({Cause.STALE}, [])


def test_a_frame_goes_stale_although_nothing_else_comes() -> None:
    outcome = Outcome()
    with outcome.dispatcher("127.0.0.1:1", freshness_s=0.2) as dispatcher:
        dispatcher.submit(frame())
        assert wait_for(lambda: bool(outcome.drops))
        assert outcome.causes() == {Cause.STALE}
        assert "does not answer" in outcome.drops[0].reason


def test_a_server_that_is_full_is_asked_slower_and_the_frame_again() -> None:
    outcome, refusals = Outcome(), iter(range(3))

    def behave(_: object) -> None:
        if next(refusals, None) is not None:
            raise RefusedError("RESOURCE_EXHAUSTED", "too many requests")

    with running(FakeServer(behave=behave)) as fake:
        with outcome.dispatcher(fake.url, freshness_s=5) as dispatcher:
            dispatcher.submit(frame(number=9))
            assert wait_for(lambda: bool(outcome.results))
        assert [r.frame.number for r in outcome.results] == [9]
        assert len(fake.requests) == 4
        assert outcome.texts().count("too many requests") == 1  # said once


def test_a_server_that_always_refuses_is_not_hammered() -> None:
    def behave(_: object) -> None:
        raise RefusedError("INTERNAL", "the model is broken")

    outcome = Outcome()
    with running(FakeServer(behave=behave)) as fake, outcome.dispatcher(fake.url) as dispatcher:
        assert dispatcher.wait_until_ready(20)
        began = time.monotonic()
        for number in range(200):
            dispatcher.submit(frame(number=number))
            time.sleep(0.005)
        assert len(fake.requests) < 10 + 5 * (time.monotonic() - began)  # soon it waits 0.2 s at least
        lost = [d for d in outcome.drops if d.cause is Cause.SERVER_ERROR]
        assert len(lost) > 150
        assert {d.reason for d in lost} <= {"the model is broken", "echo failed: the model is broken"}
        assert outcome.texts().count("the model is broken") == 1


def test_a_model_that_changed_its_shape_is_read_again() -> None:
    outcome, refusals = Outcome(), iter(range(1))

    def behave(_: object) -> None:
        if next(refusals, None) is not None:
            raise RefusedError("INVALID_ARGUMENT", "unexpected shape for input 'image'")

    with running(FakeServer(behave=behave)) as fake, outcome.dispatcher(fake.url) as dispatcher:
        dispatcher.submit(frame(number=3))
        assert wait_for(lambda: bool(outcome.results))
        assert [e.change for e in outcome.events] == [Change.READY, Change.WAITING, Change.READY]


def test_another_version_is_told_and_results_carry_it() -> None:
    outcome = Outcome()
    with running(FakeServer()) as fake, outcome.dispatcher(fake.url) as dispatcher:
        for number, version in enumerate(("1", "1", "2", "2")):
            fake.version = version
            dispatcher.submit(frame(number=number))
            assert wait_for(lambda n=number: len(outcome.results) == n + 1)  # type: ignore[misc]
        assert [r.version for r in outcome.results] == ["1", "1", "2", "2"]
        assert outcome.texts().count("version: echo: version 1 -> 2") == 1


def test_shared_memory_that_is_not_offered_is_not_used_and_that_is_said_once() -> None:
    outcome = Outcome()
    with running(FakeServer(extensions=("system_shared_memory",))) as fake, outcome.dispatcher(fake.url) as dispatcher:
        for number in range(3):
            dispatcher.submit(frame(number=number))
            assert wait_for(lambda n=number: len(outcome.results) == n + 1)  # type: ignore[misc]
    assert {r.wire for r in outcome.results} == {"inline"}
    assert outcome.texts().count("not by shared memory") == 1
    assert "--allow-client-shm=true" in outcome.texts()


def test_a_reader_that_raises_stops_nothing() -> None:
    outcome = Outcome()

    def sink(result: Result) -> None:
        outcome.results.append(result)
        raise RuntimeError("the disk is full")

    with running(FakeServer()) as fake, outcome.dispatcher(fake.url, on_result=sink) as dispatcher:
        for number in range(3):
            dispatcher.submit(frame(number=number))
            assert wait_for(lambda n=number: dispatcher.counts.emitted == n + 1)  # type: ignore[misc]
    assert "sink: a result was not taken: RuntimeError: the disk is full" in outcome.texts()


def test_whoever_listens_to_losses_and_events_stops_nothing_either() -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no")

    outcome = Outcome()
    options = RequestOptions(model=ModelOptions(model="echo"), freshness_s=0.1)
    with running(slow(0.02)) as fake:
        told = {"on_result": outcome.results.append, "on_drop": fail, "on_event": fail}
        with Dispatcher(Channel(url=fake.url), options, **told) as dispatcher:  # type: ignore[arg-type]
            for number in range(60):
                dispatcher.submit(frame(number=number, age_s=0.2 if number % 7 == 0 else 0))
                time.sleep(0.005)
        counts = dispatcher.counts
    assert len(outcome.results) > 3
    assert counts.submitted == counts.emitted + sum(counts.dropped.values()) == 60


def test_sessions_that_come_and_go_leave_nothing_open() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    refusals = iter(range(10**6))

    def behave(_: object) -> None:
        if next(refusals) % 2:
            raise RefusedError("INVALID_ARGUMENT", "unexpected shape for input 'image'")

    outcome = Outcome()
    with running(FakeServer(behave=behave)) as fake, outcome.dispatcher(fake.url, freshness_s=5) as dispatcher:
        assert dispatcher.wait_until_ready(20)
        before = descriptors()
        for number in range(12):
            dispatcher.submit(frame(number=number))
            assert wait_for(lambda n=number: len(outcome.results) == n + 1)  # type: ignore[misc]
        assert descriptors() <= before + 2


def test_a_slow_reader_slows_the_sender_and_nothing_piles_up() -> None:
    outcome = Outcome()

    def sink(result: Result) -> None:
        time.sleep(0.04)
        outcome.results.append(result)

    with running(FakeServer()) as fake, outcome.dispatcher(fake.url, on_result=sink, overall=4) as dispatcher:
        assert dispatcher.wait_until_ready(20)
        for number in range(150):
            dispatcher.submit(frame(str(number % 6), number))
            time.sleep(0.002)
            assert dispatcher.counts.in_flight <= 4
        assert fake.answered <= len(outcome.results) + 5
    assert Cause.IN_FLIGHT in outcome.causes()


class TestTheEnd:
    def test_what_is_under_way_is_waited_for(self) -> None:
        outcome = Outcome()
        with running(slow(0.2)) as fake:
            dispatcher = outcome.dispatcher(fake.url)
            dispatcher.start()
            assert dispatcher.wait_until_ready(20)
            dispatcher.submit(frame(number=1))
            assert wait_for(lambda: dispatcher.counts.in_flight == 1)
            dispatcher.close()
            dispatcher.close()
        assert [r.frame.number for r in outcome.results] == [1]
        assert not dispatcher.submit(frame(number=2))
        assert outcome.causes() == {Cause.SHUTDOWN}
        assert dispatcher.counts.submitted == 2

    def test_but_not_for_long(self) -> None:
        outcome, gate = Outcome(), threading.Event()
        with running(FakeServer(behave=lambda _: gate.wait(60))) as fake:
            dispatcher = outcome.dispatcher(fake.url, per_camera=1, freshness_s=30, drain_s=0.1)
            dispatcher.start()
            assert dispatcher.wait_until_ready(20)
            for number in range(2):
                dispatcher.submit(frame(number=number))
                assert wait_for(lambda: dispatcher.counts.in_flight == 1)
            began = time.monotonic()
            dispatcher.close()
            assert time.monotonic() - began < 10
            gate.set()
        assert {(d.frame.number, d.cause) for d in outcome.drops} == {(0, Cause.SHUTDOWN), (1, Cause.SHUTDOWN)}
        assert dispatcher.counts.in_flight == 0

    def test_nobody_is_waited_for_where_no_server_is(self) -> None:
        began = time.monotonic()
        outcome = Outcome()
        with outcome.dispatcher("127.0.0.1:1") as dispatcher:
            assert not dispatcher.wait_until_ready(0.1)
        assert time.monotonic() - began < 5
        assert "waiting: echo at 127.0.0.1:1 does not answer (Connection refused)" in outcome.texts()

    def test_no_thread_stays(self) -> None:
        outcome = Outcome()
        with running(FakeServer()) as fake, outcome.dispatcher(fake.url) as dispatcher:
            assert dispatcher.wait_until_ready(20)
        assert not [t for t in threading.enumerate() if t.name.startswith("kit-stream")]


def test_files_can_wait_for_their_turn_and_lose_nothing() -> None:
    outcome = Outcome()
    with running(slow(0.005)) as fake:
        with outcome.dispatcher(fake.url, freshness_s=60, drain_s=5) as dispatcher:
            for number in range(60):
                assert dispatcher.wait_for_room("file", 5)
                dispatcher.submit(frame("file", number))
            assert dispatcher.wait_for_room("file", 5)
        assert sorted(r.frame.number for r in outcome.results) == list(range(60))
        assert not outcome.drops


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
)
def test_what_is_no_frame_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a frame is \[H, W, 3\] uint8, not"):
        Outcome().dispatcher("127.0.0.1:1").submit(frame(image=image))
