"""Cameras against a real RTSP server that is stopped, continued, killed and restarted, and a network that fails."""

from __future__ import annotations

import itertools
import logging
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from proxy import Proxy
from rtsp_process import RtspProcess, free_port

from kit.stream.cameras import Cameras
from kit.stream.capture import Capture
from kit.stream.events import Event, Kind
from kit.stream.pattern import read_number
from kit.stream.reader import Camera
from kit.stream.types import Frame

PASSWORD = "p%40ss%3A%2Fword"  # p@ss:/word
BUDGET_S = 0.6


@dataclass
class Watched:
    """Cameras with what became of them; takes every frame as a consumer would."""

    cameras: Cameras
    events: list[Event]
    frames: dict[str, list[Frame]] = field(default_factory=dict)

    def capture(self, name: str = "door") -> Capture:
        return self.cameras.captures[name]

    def until(self, condition: Callable[[], bool], within_s: float = 30) -> float:
        """Take frames until ``condition``; return how long it took."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < within_s, [str(e) for e in self.events]
            for name, capture in self.cameras.captures.items():
                if (frame := capture.take()) is not None:
                    capture.accounting.emit(frame.number)
                    self.frames.setdefault(name, []).append(frame)
            time.sleep(0.005)
        return time.monotonic() - begun

    def until_frames(self, count: int, name: str = "door", within_s: float = 30) -> float:
        """Take ``count`` more frames."""
        before = len(self.frames.get(name, []))
        return self.until(lambda: len(self.frames.get(name, [])) >= before + count, within_s)

    def kinds(self, name: str = "door") -> list[Kind]:
        return [event.kind for event in self.events if event.camera == name]


def watched(*cameras: Camera, **options: object) -> Watched:
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        logging.getLogger("kit.stream").warning("%s", event)

    return Watched(cameras=Cameras(cameras, on_event=tell, **options), events=events)  # type: ignore[arg-type]


def door(url: str, *, freshness_s: float = BUDGET_S, connect_s: float = 5.0, name: str = "door") -> Camera:
    return Camera.parse(url, name=name, freshness_s=freshness_s, connect_s=connect_s)


def balanced(capture: Capture) -> bool:
    totals = capture.accounting.totals()
    return totals.pending == 0 and totals.captured == totals.emitted + sum(totals.dropped.values()) > 0


def test_frames_come_fresh_in_order_and_whole(rtsp: RtspProcess) -> None:
    w = watched(door(rtsp.url()))
    with w.cameras:
        w.until_frames(1)
        w.until_frames(30)
        assert w.capture().status().connected
    frames = w.frames["door"]
    assert frames[0].image.shape == (240, 320, 3)
    shown = [read_number(frame.image) for frame in frames]
    assert shown == sorted(shown)
    assert shown[0] < 25  # it does not wait for the next group of pictures, and then another
    times = [frame.pts_s for frame in frames if frame.pts_s is not None]
    assert times == sorted(set(times))
    assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
    assert w.kinds() == [Kind.CONNECTED]
    assert balanced(w.capture())
    # A picture leaves the decoder 25 times a second: what is shown is hardly older than the last one.
    gaps = [b.captured_ns - a.captured_ns for a, b in itertools.pairwise(frames[5:])]
    assert sorted(gaps)[len(gaps) // 2] < 200e6


def test_a_frozen_camera_is_noticed_within_its_budget_and_recovers(rtsp: RtspProcess) -> None:
    w = watched(door(rtsp.url()))
    with w.cameras:
        w.until_frames(5)
        rtsp.freeze()
        noticed_s = w.until(lambda: Kind.REPLACED in w.kinds())
        assert BUDGET_S * 0.8 < noticed_s < BUDGET_S + 2
        status = w.capture().status()
        assert (status.connected, status.replaced) == (False, 1)
        assert status.reason.startswith("no new picture for 0.")
        rtsp.thaw()
        w.until_frames(5)
    assert w.kinds() == [Kind.CONNECTED, Kind.REPLACED, Kind.RECOVERED]
    outage_s = w.events[-1].outage_s
    assert outage_s is not None
    assert outage_s > BUDGET_S
    assert balanced(w.capture())


def test_a_killed_camera_is_lost_at_once_and_comes_back(rtsp: RtspProcess) -> None:
    w = watched(door(rtsp.url()))
    with w.cameras:
        w.until_frames(5)
        rtsp.kill()
        assert w.until(lambda: Kind.LOST in w.kinds()) < BUDGET_S + 2
        w.until(lambda: "refuses connections" in w.capture().status().reason)
        rtsp.start()
        w.until_frames(5)
    assert w.kinds()[0] is Kind.CONNECTED
    assert w.kinds()[-1] is Kind.RECOVERED
    assert balanced(w.capture())


def test_a_pulled_cable_is_noticed_within_the_budget(rtsp: RtspProcess) -> None:
    with Proxy(rtsp.port) as proxy:
        w = watched(door(rtsp.url().replace(str(rtsp.port), str(proxy.port))))
        with w.cameras:
            w.until_frames(5)
            proxy.black_hole()
            assert w.until(lambda: Kind.REPLACED in w.kinds()) < BUDGET_S + 2
            proxy.restore()
            w.until_frames(5)
            proxy.cut()
            assert w.until(lambda: Kind.LOST in w.kinds()) < BUDGET_S + 2
            w.until_frames(5)
    assert w.kinds().count(Kind.RECOVERED) == 2
    assert balanced(w.capture())


def test_a_slow_network_is_none_that_is_lost(rtsp: RtspProcess) -> None:
    with Proxy(rtsp.port) as proxy:
        proxy.delay_s = 0.02
        w = watched(door(rtsp.url().replace(str(rtsp.port), str(proxy.port))))
        with w.cameras:
            w.until_frames(20)
    assert w.kinds() == [Kind.CONNECTED]


def test_the_size_may_change_in_the_middle(rtsp: RtspProcess) -> None:
    w = watched(door(rtsp.url("change.mp4")))
    with w.cameras:
        w.until(lambda: len({frame.image.shape for frame in w.frames.get("door", [])}) == 2)
    sizes = {frame.image.shape[:2]: read_number(frame.image) for frame in w.frames["door"]}
    assert set(sizes) == {(240, 320), (480, 640)}
    assert sizes[480, 640] >= 20
    assert w.kinds() == [Kind.CONNECTED]


def test_credentials_are_used_and_never_told(
    rtsp: RtspProcess, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    good = door(rtsp.url("private/camera.mp4", credentials=f"admin:{PASSWORD}@"), name="good")
    literal = door(rtsp.url("private/camera.mp4", credentials="admin:p@ss:%2Fword@"), name="literal")
    wrong = door(rtsp.url("private/camera.mp4", credentials="admin:wr%40ng-secret@"), name="wrong")
    none = door(rtsp.url("private/camera.mp4"), name="none")
    gone = door(f"rtsp://admin:{PASSWORD}@127.0.0.1:{free_port()}/x", name="gone")
    w = watched(good, literal, wrong, none, gone)
    with w.cameras:
        w.until_frames(3, "good")
        w.until_frames(3, "literal")
        w.until(lambda: all(w.kinds(name) for name in ("wrong", "none", "gone")))
        told = repr([w.events, w.cameras.captures, *(c.status() for c in w.cameras.captures.values())])
    reasons = {event.camera: event.reason for event in w.events if event.kind is Kind.LOST}
    assert "refuses the user name or password (401)" in reasons["wrong"]
    assert "(401)" in reasons["none"]
    assert {event.camera for event in w.events if event.permanent} == {"wrong", "none"}
    out, err = capfd.readouterr()
    everything = told + caplog.text + out + err + repr([good, wrong, gone])
    for secret in (PASSWORD, "p@ss", "wr%40ng", "wr@ng", "secret"):
        assert secret not in everything


def test_what_only_somebody_can_mend_is_said_once_and_tried_rarely(rtsp: RtspProcess) -> None:
    with Proxy(rtsp.port) as proxy:
        w = watched(door(f"rtsp://127.0.0.1:{proxy.port}/nothing.mp4"))
        with w.cameras:
            w.until(lambda: bool(w.events))
            time.sleep(1.5)
    assert [(e.kind, e.permanent) for e in w.events] == [(Kind.LOST, True)]
    assert "(404)" in w.events[0].reason
    assert proxy.connections == 1


@pytest.fixture
def gstreamer() -> Iterator[int]:
    """The port of GStreamer's own server, under the system's Python, where it is installed."""
    port = free_port()
    server = subprocess.Popen(
        ["/usr/bin/python3", str(Path(__file__).with_name("gst_rtsp_server.py")), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    ready = server.stdout.readline() == "ready\n"
    if ready:
        yield port
    server.kill()
    server.communicate()
    if not ready:
        pytest.skip("no GStreamer RTSP server: apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly")


def test_another_server_with_udp_and_a_password_by_digest(gstreamer: int) -> None:
    url = f"rtsp://admin:{PASSWORD}@127.0.0.1:{gstreamer}/private"
    wrong = door(f"rtsp://admin:wrong@127.0.0.1:{gstreamer}/private", name="wrong")
    w = watched(door(url, name="tcp"), door(f"{url}#transport=udp", name="udp"), wrong)
    with w.cameras:
        w.until_frames(20, "tcp")
        w.until_frames(20, "udp")
        w.until(lambda: bool(w.kinds("wrong")))
    for name in ("tcp", "udp"):
        times = [frame.pts_s for frame in w.frames[name] if frame.pts_s is not None]
        assert times == sorted(set(times))
        assert balanced(w.capture(name))
    assert "(401)" in next(e.reason for e in w.events if e.camera == "wrong")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp://127.0.0.1:{port}/camera.mp4#transport=udp", "does not offer this transport; try #transport=tcp"),
        ("rtsp://no-such-host.invalid/x", 'no address is known for the host "no-such-host.invalid"'),
    ],
)
def test_what_may_pass_is_told_with_what_to_try(rtsp: RtspProcess, url: str, said: str) -> None:
    w = watched(door(url.format(port=rtsp.port)))
    with w.cameras:
        w.until(lambda: bool(w.events))
    assert said in w.events[0].reason
    assert not w.events[0].permanent


def test_starts_with_dead_cameras_and_picks_them_up(rtsp: RtspProcess) -> None:
    rtsp.kill()
    w = watched(door(rtsp.url()), door("test://30fps?size=64x48", name="other"))
    with w.cameras:
        w.until(lambda: Kind.LOST in w.kinds())
        w.until_frames(5, "other")
        time.sleep(0.3)
        assert w.kinds() == [Kind.LOST]  # told once, however often it is tried
        rtsp.start()
        w.until_frames(5)
    assert w.kinds() == [Kind.LOST, Kind.CONNECTED]


def test_an_end_of_stream_is_a_loss_and_is_tried_again(rtsp: RtspProcess) -> None:
    w = watched(door(rtsp.url("change.mp4", plays=1)))
    with w.cameras:
        w.until(lambda: Kind.RECOVERED in w.kinds())
    assert next(e.reason for e in w.events if e.kind is Kind.LOST).endswith("ended the stream; it is tried again")


def test_sixteen_cameras_of_which_some_are_dead(rtsp: RtspProcess, media: Path) -> None:
    dead = [door(f"rtsp://127.0.0.1:{free_port()}/x", name=f"dead{n}") for n in range(4)]
    live = [door(rtsp.url(), name=f"live{n}", freshness_s=2) for n in range(12)]
    w = watched(*dead, *live)
    with w.cameras:
        w.until(lambda: all(len(w.frames.get(camera.name, [])) >= 10 for camera in live))
        threads = [t.name for t in threading.enumerate() if t.name.startswith("camera-")]
        assert len(threads) <= 16 + 1
    assert all(balanced(w.capture(camera.name)) for camera in live)
    assert not [t for t in threading.enumerate() if t.name.startswith("camera-")]


def test_a_storm_of_reconnections_is_spread(rtsp: RtspProcess) -> None:
    """All cameras of a server that dies come back, and no more than the cap connect at a time."""
    w = watched(*(door(rtsp.url(), name=f"c{n}", freshness_s=2) for n in range(6)), most_connecting=2)
    most = 0

    def connecting() -> int:
        nonlocal most
        now = time.monotonic_ns()
        most = max(most, sum(c.connecting_for_s(now) is not None for c in w.cameras.captures.values()))
        return most

    with w.cameras:
        w.until(lambda: connecting() >= 0 and all(w.frames.get(f"c{n}") for n in range(6)))
        rtsp.kill()
        w.until(lambda: all(Kind.LOST in w.kinds(f"c{n}") for n in range(6)))
        rtsp.start()
        w.until(lambda: connecting() >= 0 and all(Kind.RECOVERED in w.kinds(f"c{n}") for n in range(6)))
    assert 1 <= most <= 2


def test_memory_does_not_grow_with_reconnections(rtsp: RtspProcess) -> None:
    def resident_kb() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 1024

    with Proxy(rtsp.port) as proxy:
        w = watched(door(rtsp.url().replace(str(rtsp.port), str(proxy.port))))
        seen = []
        with w.cameras:
            for _ in range(6):
                before = w.kinds().count(Kind.LOST)
                w.until_frames(8)
                w.frames.clear()
                proxy.cut()
                w.until(lambda before=before: w.kinds().count(Kind.LOST) > before)
                w.capture()._backoff.reset()
                seen.append(resident_kb())
    assert seen[-1] - seen[2] < 8_000  # kB


PROGRAM = """
import sys, time
from kit.stream.cameras import Cameras
from kit.stream.reader import Camera
with Cameras([Camera.parse(sys.argv[1], name="door", freshness_s=30)]) as cameras:
    frame = next(cameras.frames(10))
    cameras.captures["door"].accounting.emit(frame.number)
    print("frame", flush=True)
    input()
    begun = time.monotonic()
print("stopped", time.monotonic() - begun < 10, flush=True)
"""


def test_a_program_ends_in_time_with_a_reader_that_hangs(rtsp: RtspProcess) -> None:
    """The reader waits in FFmpeg for a camera that says nothing; its thread is left."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, rtsp.url()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "frame\n"
    rtsp.freeze()
    time.sleep(0.5)
    begun = time.monotonic()
    out, _ = program.communicate("\n", timeout=20)
    assert (program.returncode, out) == (0, "stopped True\n")
    assert time.monotonic() - begun < 15
