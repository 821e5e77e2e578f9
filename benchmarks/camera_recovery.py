"""How soon a frozen or killed camera is noticed, and how soon its pictures are back: a real RTSP server on loopback.

python benchmarks/camera_recovery.py [--rounds 4]    (of five cameras each)

Beside the kit: the loop that most programs have, ``cv2.VideoCapture`` with the same time limit, opened anew half a
second after ``read`` fails. Needs ``pip install 'triton-edge-kit[camera]' 'aio-rtsp-toolkit[server]'``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kit.stream.cameras import Cameras
from kit.stream.events import Event, Kind
from kit.stream.reader import Camera

# The tests' server is the benchmark's.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "stream"))
from rtsp_process import RtspProcess, free_port
from videos import write_video

BUDGET_S = 1.0
CAMERAS = 5
OUTAGE_S = 4.0
SETTLE_S = 5.5
"""Longer than a connection has to last to be called stable: rounds do not add to each other's waits."""


@dataclass
class Watched:
    """What one camera's reader saw last."""

    picture_s: float = 0.0
    noticed_s: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def picture_after(self, moment_s: float) -> float:
        """Wait for a picture after ``moment_s``; return how long after it came."""
        while self.picture_s <= moment_s:
            time.sleep(0.002)
        return self.picture_s - moment_s


def kit_reads(url: str, watched: Watched) -> None:
    """Take frames as a program with the kit does."""

    def tell(event: Event) -> None:
        if event.kind in (Kind.REPLACED, Kind.LOST) and watched.noticed_s < watched.picture_s:
            watched.noticed_s = time.monotonic()

    with Cameras([Camera.parse(url, name="camera", freshness_s=BUDGET_S)], on_event=tell) as cameras:
        capture = cameras.captures["camera"]
        while not watched.ended.is_set():
            if (frame := capture.take(0.1)) is not None:
                capture.accounting.emit(frame.number)
                watched.picture_s = time.monotonic()


def opencv_reads(url: str, watched: Watched) -> None:
    """Take frames as a program with OpenCV does."""
    import cv2

    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    limit_ms = int(BUDGET_S * 1000)
    options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 10_000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
    while not watched.ended.is_set():
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, options)
        while not watched.ended.is_set() and capture.read()[0]:
            watched.picture_s = time.monotonic()
        capture.release()
        if watched.noticed_s < watched.picture_s:
            watched.noticed_s = time.monotonic()
        time.sleep(0.5)


def measured(
    reads: Callable[[str, Watched], None], url: str, fail: Callable[[], None], mend: Callable[[], None], rounds: int
) -> tuple[list[float], list[float]]:
    """Return the seconds from each failure to its notice, and from when the server is back to the next picture."""
    cameras = [Watched() for _ in range(CAMERAS)]
    threads = [threading.Thread(target=reads, args=(url, watched), daemon=True) for watched in cameras]
    for thread in threads:
        thread.start()
    noticed, back = [], []
    for _ in range(rounds):
        for watched in cameras:
            watched.picture_after(time.monotonic())
        time.sleep(SETTLE_S)
        failed = time.monotonic()
        fail()
        time.sleep(OUTAGE_S)
        mend()
        mended = time.monotonic()
        back += [watched.picture_after(mended) for watched in cameras]
        noticed += [watched.noticed_s - failed for watched in cameras]
    for watched in cameras:
        watched.ended.set()
    for thread in threads:
        thread.join(15)
    return noticed, back


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "camera.mp4", ((320, 240), 250))
        server = RtspProcess(folder=Path(folder), port=free_port())
        server.start()
        print(f"seconds, median and worst of {rounds * CAMERAS}; budget {BUDGET_S} s, outage {OUTAGE_S} s")
        print(f"{'':8}{'':22}{'noticed after':>16}{'pictures back':>16}")
        for name, reads in (("kit", kit_reads), ("OpenCV", opencv_reads)):
            faults = (("frozen, continued", server.freeze, server.thaw), ("killed, started", server.kill, server.start))
            for fault, fail, mend in faults:
                noticed, back = measured(reads, server.url(), fail, mend, rounds)
                cells = (f"{statistics.median(times):10.2f}{max(times):6.2f}" for times in (noticed, back))
                print(f"{name:8}{fault:22}{''.join(cells)}", flush=True)
        server.kill()


if __name__ == "__main__":
    main()
