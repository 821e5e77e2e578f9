"""A sink that is slow, fails or hangs: nobody waits for it without a bound, and every result is accounted for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import emissions
import pytest

from kit.stream.outlet import ROOM, Outlet
from kit.stream.sinks.interface import Emission, Note, SinkGoneError
from kit.stream.snapshot import Snapshot


@dataclass
class Recorded:
    """A sink that does as it is told, and remembers."""

    act: Callable[[Emission], None] = lambda _: None
    taken: list[int] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    closed: list[Snapshot] = field(default_factory=list)
    greeting: str = ""

    def take(self, emission: Emission) -> None:
        self.act(emission)
        self.taken.append(emission.result.frame.number)

    def note(self, note: Note) -> None:
        self.noted.append(note.text)

    def close(self, last: Snapshot) -> None:
        self.closed.append(last)


@dataclass
class Told:
    notes: list[Note] = field(default_factory=list)
    ends: list[SinkGoneError] = field(default_factory=list)

    def outlet(self, sink: Recorded, *, whole: bool = True) -> Outlet:
        return Outlet("made", sink, tell=self.notes.append, ended=self.ends.append, whole=whole)


def finish(outlet: Outlet, offered: int) -> None:
    outlet.drain(30)
    assert outlet.close(emissions.snapshot(), 30)
    seen = outlet.view()
    assert seen.taken + seen.missed == offered


def failing(errors: Iterator[Exception | None]) -> Callable[[Emission], None]:
    def act(_: Emission) -> None:
        if (error := next(errors)) is not None:
            raise error

    return act


def test_a_quick_sink_gets_everything_in_order_and_is_closed_once() -> None:
    sink, told = Recorded(), Told()
    outlet = told.outlet(sink)
    for number in range(200):
        outlet.offer(emissions.emission(number), wait_s=30)
    finish(outlet, 200)
    assert sink.taken == list(range(200))
    assert len(sink.closed) == 1
    assert told.notes == []


def test_a_sink_that_hangs_holds_up_nobody_and_gets_the_newest() -> None:
    release = threading.Event()
    sink = Recorded(act=lambda _: release.wait(60) and None)
    outlet = Told().outlet(sink)
    begun = time.monotonic()
    for number in range(1000):
        outlet.offer(emissions.emission(number))
    assert time.monotonic() - begun < 30  # it hangs for 60 s
    release.set()
    finish(outlet, 1000)
    assert sink.taken[-ROOM:] == list(range(1000 - ROOM, 1000))


def test_one_that_wants_the_newest_gets_the_newest_of_each_camera() -> None:
    began, release = threading.Event(), threading.Event()
    cameras: list[tuple[str, int]] = []

    def slow(emission: Emission) -> None:
        cameras.append((emission.result.frame.camera, emission.result.frame.number))
        began.set()
        release.wait(60)

    outlet = Told().outlet(Recorded(act=slow), whole=False)
    outlet.offer(emissions.emission(0, camera="a"))
    assert began.wait(30)
    for number in range(1, 50):
        outlet.offer(emissions.emission(number, camera="a"))
        outlet.offer(emissions.emission(number, camera="b"))
    release.set()
    finish(outlet, 99)
    assert cameras == [("a", 0), ("a", 49), ("b", 49)]


def test_a_source_that_waits_waits_for_a_slow_sink() -> None:
    sink = Recorded(act=lambda _: time.sleep(0.002))
    outlet = Told().outlet(sink)
    for number in range(100):
        outlet.offer(emissions.emission(number), wait_s=30)
    finish(outlet, 100)
    assert sink.taken == list(range(100))


def test_it_waits_only_once_for_one_that_hangs() -> None:
    release = threading.Event()
    outlet = Told().outlet(Recorded(act=lambda _: release.wait(60) and None))
    begun = time.monotonic()
    for number in range(ROOM + 50):
        outlet.offer(emissions.emission(number), wait_s=0.2)
    assert 0.15 < time.monotonic() - begun < 5  # for each, it would be 13 s
    release.set()
    finish(outlet, ROOM + 50)


def test_a_failure_is_told_once_counted_and_tried_again() -> None:
    errors = iter([OSError(28, "No space left"), OSError(28, "No space left"), None, None])
    sink, told = Recorded(act=failing(errors)), Told()
    outlet = told.outlet(sink)
    for number in range(1000):
        outlet.offer(emissions.emission(number), wait_s=1)
        time.sleep(0.02)
        if len(sink.taken) == 2:
            break
    offered = number + 1
    finish(outlet, offered)
    assert [note.text for note in told.notes] == [
        "made failed, and is tried again: [Errno 28] No space left",
        "made works again",
    ]
    assert outlet.view().errors == 2
    assert outlet.view().missed >= 2


def test_one_that_is_gone_is_left_out_and_the_cameras_go_on() -> None:
    told = Told()
    outlet = told.outlet(Recorded(act=failing(iter([SinkGoneError("no window")]))))
    for number in range(5):
        outlet.offer(emissions.emission(number), wait_s=1)
    finish(outlet, 5)
    assert outlet.view().left_out
    assert [note.text for note in told.notes] == ["made: no window; it is left out from now on"]
    assert told.ends == []


def test_one_that_ends_the_run_says_so() -> None:
    told = Told()
    outlet = told.outlet(Recorded(act=failing(iter([SinkGoneError("closed", ends=True)]))))
    outlet.offer(emissions.emission())
    finish(outlet, 1)
    assert [str(gone) for gone in told.ends] == ["closed"]


def test_notes_come_although_results_fail() -> None:
    sink = Recorded(act=failing(iter([ValueError("x")] * 9)))
    outlet = Told().outlet(sink)
    outlet.offer(emissions.emission())
    outlet.note(Note(text="connected"))
    finish(outlet, 1)
    assert sink.noted == ["connected"]


def test_a_sink_that_hangs_at_the_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Recorded()
    release = threading.Event()
    monkeypatch.setattr(sink, "close", lambda _: release.wait(60))
    assert not Told().outlet(sink).close(emissions.snapshot(), 0.1)
    release.set()
