"""Capture against sources that hang, fail, end and overrun, with real threads and real files."""

from __future__ import annotations

import itertools
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from videos import FRAMES, encoded

from kit.errors import CameraNotFoundError, MissingExtraError, UsageError
from kit.stream.accounting import Cause
from kit.stream.cameras import Cameras
from kit.stream.capture import Capture
from kit.stream.events import Event, Kind, log_event
from kit.stream.pattern import read_number
from kit.stream.reader import Camera, name_for
from kit.stream.sources import resolve
from kit.stream.uri import CameraUri


def wait_for(condition: Callable[[], bool], within_s: float = 20) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within_s
        time.sleep(0.005)
    return time.monotonic() - begun


def captured(*cameras: Camera, **options: object) -> tuple[Cameras, list[Event]]:
    events: list[Event] = []
    return Cameras(cameras, on_event=events.append, **options), events  # type: ignore[arg-type]


def balanced(capture: Capture) -> bool:
    totals = capture.accounting.totals()
    return totals.captured == totals.emitted + sum(totals.dropped.values()) + totals.pending


def test_a_file_is_read_whole_by_a_slow_consumer(media: Path) -> None:
    cameras, events = captured(Camera.parse(f"{media}/camera.mp4#pace=none", freshness_s=0.001))
    shown = []
    with cameras:
        (capture,) = cameras.captures.values()
        for frame in cameras.frames():
            if frame.number % 50 == 0:
                time.sleep(0.05)
            shown.append(read_number(frame.image))
            capture.accounting.emit(frame.number)
        assert capture.ended
    assert shown == list(range(FRAMES))
    assert str(capture.accounting.totals()) == f"{FRAMES} captured = {FRAMES} emitted + 0 dropped + 0 pending"
    assert [event.kind for event in events] == [Kind.CONNECTED, Kind.ENDED]
    assert capture.failure is None


def test_the_newest_frame_wins_over_those_that_nobody_took() -> None:
    cameras, _ = captured(Camera.parse("test://200fps?size=64x48", name="fast"))
    capture = cameras.captures["fast"]
    with cameras:
        shown = []
        for _ in range(5):
            before = capture.accounting.totals().captured
            wait_for(lambda before=before: capture.accounting.totals().captured >= before + 10)  # type: ignore[misc]
            newest = capture.accounting.totals().captured - 1
            frame = capture.take(1, freshness_s=60)
            assert frame is not None
            assert frame.number >= newest
            shown.append(read_number(frame.image))
            capture.accounting.emit(frame.number)
    assert min(b - a for a, b in itertools.pairwise(shown)) > 5
    totals = capture.accounting.totals()
    assert totals.emitted == 5
    assert totals.dropped[Cause.SUPERSEDED] >= 40
    assert totals.pending == 0


def test_a_frame_that_waited_too_long_is_stale() -> None:
    cameras, _ = captured(Camera.parse("test://1fps?size=64x48", name="slow"))
    capture = cameras.captures["slow"]
    with cameras:
        wait_for(lambda: capture.waiting)
        time.sleep(0.1)
        assert capture.take(freshness_s=0.05) is None
        assert capture.accounting.totals().dropped[Cause.STALE] == 1
        frame = capture.take(20, freshness_s=60)
        assert frame is not None
        assert frame.number >= 1


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.floats(0.02, 0.2))
def test_the_books_balance_whatever_consumers_do(seed: int, consumers: int, life_s: float) -> None:
    """Consumers take, emit, drop and keep frames at random while cameras run, end and are stopped."""
    cameras, _ = captured(
        Camera.parse("test://500fps?size=32x16", name="a"),
        Camera.parse("test://300fps?size=32x16&frames=20", name="b"),
        Camera.parse("test://900fps?size=32x16&pace=none", name="c"),
    )
    kept: list[tuple[str, int]] = []
    done = threading.Event()

    def consume(source: random.Random) -> None:
        while not done.is_set():
            for name, capture in cameras.captures.items():
                frame = capture.take(0.002, freshness_s=source.choice([0.0, 0.001, 1.0]))
                if frame is None:
                    continue
                lot = source.random()
                if lot < 0.4:
                    capture.accounting.emit(frame.number)
                elif lot < 0.8:
                    capture.accounting.drop(frame.number, source.choice(list(Cause)))
                else:
                    kept.append((name, frame.number))
            assert all(balanced(c) for c in cameras.captures.values())

    threads = [threading.Thread(target=consume, args=(random.Random(seed + n),)) for n in range(consumers)]
    with cameras:
        for thread in threads:
            thread.start()
        time.sleep(life_s)
    done.set()
    for thread in threads:
        thread.join()
    for name, capture in cameras.captures.items():
        assert balanced(capture)
        assert capture.accounting.totals().pending == sum(kept_name == name for kept_name, _ in kept)
        assert capture.accounting.drop_pending(Cause.SHUTDOWN) == sum(kept_name == name for kept_name, _ in kept)
        assert capture.take() is None
        assert capture.ended


class Device(type(resolve("file:device")[0])):  # type: ignore[misc]
    """A file that goes on by itself."""

    def live(self, uri: CameraUri) -> bool:
        return True


def device(uri: str, **options: Any) -> Camera:
    return Camera(source=Device(), uri=resolve(uri)[1], **options)


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[str]:
    """A device whose opening hangs in the kernel until somebody writes to it: what no timeout of a library ends."""
    pipe = tmp_path / "device"
    os.mkfifo(pipe)
    yield f"file:{pipe}"
    for _ in range(10):  # let those that still hang go
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return
        time.sleep(0.02)


def test_a_reader_that_hangs_in_a_native_call_is_left_and_not_for_ever_anew(stuck: str) -> None:
    cameras, events = captured(
        device(stuck, name="stuck", connect_s=0.1), Camera.parse("test://50fps?size=32x16", name="well")
    )
    capture = cameras.captures["stuck"]
    cameras.start()
    try:
        wait_for(lambda: capture.status().left_behind == 3)
        before = threading.active_count()
        wait_for(lambda: "readers hang" in capture.status().reason)
        time.sleep(0.3)
        assert threading.active_count() <= before
        shown = cameras.captures["well"].accounting
        before = shown.totals().captured
        wait_for(lambda: shown.totals().captured > before)
        assert [e.kind for e in events if e.camera == "stuck"] == [Kind.LOST, Kind.LOST]
        assert "gave no picture within 0.1 s" in next(e.reason for e in events if e.camera == "stuck")
    finally:
        begun = time.monotonic()
        assert not cameras.stop(0.3)
        assert time.monotonic() - begun < 8


def test_one_that_was_left_behind_writes_nothing_when_it_wakes(tmp_path: Path) -> None:
    """A pipe with a video in it: the reader hangs until it is written, long after it was given up."""
    pipe = tmp_path / "video.h264"
    os.mkfifo(pipe)
    cameras, events = captured(Camera.parse(f"file:{pipe}#pace=none&threads=1", name="pipe"))
    capture = cameras.captures["pipe"]
    with cameras:
        wait_for(lambda: capture._attempt is not None)
        attempt = capture._attempt
        assert attempt is not None
        with capture._lock:  # as the watch does with a live camera
            capture._left.append(attempt)
            capture._let_go(attempt)
            capture._due_ns = time.monotonic_ns() + 10**12
        with pipe.open("wb") as writer:
            for packet in encoded((64, 48), 0, 5):
                writer.write(bytes(packet))
        wait_for(lambda: not attempt.alive)
        totals = capture.accounting.totals()
        assert totals.captured == totals.dropped[Cause.STALE] > 0
        assert capture.take() is None
    assert events == []


def test_a_source_that_does_not_go_on_by_itself_fails_once(tmp_path: Path) -> None:
    cameras, events = captured(Camera.parse("file:nowhere.mp4", name="gone"))
    with cameras:
        assert list(cameras.frames()) == []
    assert [event.kind for event in events] == [Kind.FAILED]
    failure = cameras.captures["gone"].failure
    assert isinstance(failure, CameraNotFoundError)
    assert "nowhere.mp4" in str(failure)


def test_what_cannot_be_mended_while_the_program_runs_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    cameras, events = captured(Camera.parse("rtsp://127.0.0.1:1/x", name="a"))
    with cameras:
        wait_for(lambda: cameras.ended)
        assert [(event.kind, event.permanent) for event in events] == [(Kind.FAILED, True)]
        assert isinstance(cameras.captures["a"].failure, MissingExtraError)
        assert "triton-edge-kit[camera]" in cameras.captures["a"].status().reason


def test_images_that_are_all_broken_do_not_spin_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"none")
    cameras, _ = captured(Camera.parse(f"{tmp_path}#loop=yes", name="broken"))
    with cameras:
        assert list(cameras.frames()) == []
    (capture,) = cameras.captures.values()
    assert "250 pictures in a row cannot be decoded" in str(capture.failure)
    assert capture.accounting.totals().dropped[Cause.DECODE_ERROR] == 250
    assert balanced(capture)


def test_decode_errors_are_counted_and_no_more(tmp_path: Path) -> None:
    from kit.stream.pattern import Pattern

    for number in range(4):
        from PIL import Image

        Image.fromarray(Pattern(width=32, height=16).draw(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"none")
    cameras, _ = captured(Camera.parse(str(tmp_path), name="images"))
    (capture,) = cameras.captures.values()
    with cameras:
        for frame in cameras.frames():
            capture.accounting.emit(frame.number)
    assert str(capture.accounting.totals()) == "4 captured = 3 emitted + 1 dropped (1 decode_error) + 0 pending"


def test_a_callback_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("of the user")

    camera = Camera.parse("test://100fps?size=32x16", name="a")
    with Cameras([camera], on_event=fail, on_frame=fail) as cameras:
        taken = [frame for _, frame in zip(range(5), cameras.frames(5), strict=False)]
    assert len(taken) == 5
    assert "the cameras go on" in caplog.text
    assert "of the user" in caplog.text


def test_a_frame_is_announced(media: Path) -> None:
    told: list[str] = []
    came = threading.Event()
    camera = Camera.parse("test://100fps?size=32x16", name="a")
    with Cameras([camera], on_frame=lambda name: (told.append(name), came.set())) as cameras:  # type: ignore[func-returns-value]
        assert came.wait(20)
        assert cameras.captures["a"].take(20, freshness_s=60) is not None
    assert set(told) == {"a"}


def test_waiting_for_frames_has_an_end(stuck: str) -> None:
    cameras, _ = captured(Camera.parse("test://100fps?size=32x16&frames=3", name="a"), device(stuck, name="b"))
    cameras.start()
    begun = time.monotonic()
    assert 1 <= len(list(cameras.frames(0.6))) <= 3
    assert 0.6 < time.monotonic() - begun < 8
    cameras.stop(0.1)


def test_stopping_ends_every_thread_and_wakes_who_waits() -> None:
    cameras, _ = captured(*(Camera.parse("test://30fps?size=32x16", name=str(n)) for n in range(16)))
    cameras.start()
    wait_for(lambda: all(c.status().connected for c in cameras.captures.values()))
    waiting = threading.Thread(target=lambda: list(cameras.frames()))
    waiting.start()
    begun = time.monotonic()
    assert cameras.stop()
    waiting.join(20)
    assert not waiting.is_alive()
    assert time.monotonic() - begun < 15
    assert not [t for t in threading.enumerate() if t.name.startswith("camera-")]
    assert cameras.stop()  # twice is as good as once


def test_a_program_that_slept_itself_blames_no_camera() -> None:
    """As after SIGSTOP, a suspended laptop or a starved container: readers get time to catch up."""
    cameras, _ = captured(Camera.parse("test://100fps?size=32x16", name="a"))
    now = cameras._ticked_ns
    assert [cameras._awake(now + ms * 10**6) for ms in (50, 100, 3000, 3050, 3450, 3550)] == [
        True, True, False, False, False, True,
    ]  # fmt: skip


def test_silence_counts_only_while_the_watch_was_awake() -> None:
    camera = Camera.parse("test://1fps?size=32x16", name="a", freshness_s=0.1)
    capture = Capture(camera, changed=lambda: None)
    capture.tick(time.monotonic_ns(), may_connect=True)
    wait_for(lambda: capture.waiting)
    later = time.monotonic_ns() + 10**9
    assert [e.kind for e in capture.tick(later, may_connect=True, may_replace=False)] == [Kind.CONNECTED]
    assert [e.kind for e in capture.tick(later, may_connect=True)] == [Kind.REPLACED]
    for thread in capture.stop():
        thread.join(60)


def test_two_cameras_of_one_name_are_refused() -> None:
    camera = Camera.parse("test://30fps", name="a")
    with pytest.raises(UsageError, match='two cameras are named "a"'):
        Cameras([camera, camera])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rtsp://admin:secret@10.0.0.7:554/stream1?token=x", "10.0.0.7-554-stream1"),
        ("test://30fps?size=64x48", "30fps"),
        ("test:", "test"),
        ("v4l2:///dev/video0", "dev-video0"),
        ("csi://0", "0"),
    ],
)
def test_a_camera_is_named_for_its_place(text: str, name: str) -> None:
    assert Camera.parse(text).name == name_for(resolve(text)[1]) == name


def test_events_are_logged_by_their_weight(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kit.stream")
    log_event(Event(camera="a", kind=Kind.CONNECTED))
    log_event(Event(camera="a", kind=Kind.LOST, reason="why"))
    log_event(Event(camera="a", kind=Kind.LOST, reason="why", permanent=True))
    log_event(Event(camera="a", kind=Kind.RECOVERED, outage_s=1.25))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "a: connected"),
        ("WARNING", "a: lost: why"),
        ("ERROR", "a: lost: why"),
        ("INFO", "a: recovered after 1.2 s"),
    ]
