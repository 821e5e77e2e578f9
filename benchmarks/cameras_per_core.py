"""How many cameras at 30 fps one process serves on one core until more than 1 % of their frames get no result.

All sides read the same frames of 640x640, made before the clock starts (nothing is drawn or decoded; each camera is a
thread that wakes when its frame is due), and send them as UINT8 for ten fixed detections:

- ``kit``: ``kit.stream`` as ``kit camera`` runs it, to a function that is called with each result, by shared memory,
- ``kit, no shm``: the same with the frames in the requests,
- ``threads``: what most programs have: for each camera a thread that reads its newest frame, calls tritonclient's
  blocking ``infer`` and reads the arrays. It stands in for roboflow's ``InferencePipeline``, which the kit's locked
  environment does not have.

The client has one core for itself, the server another. The server is a stand-in, a process that speaks Triton's gRPC
and answers with bytes made in advance, so that it is the client that is measured; ``--server triton`` takes the
embedded Triton. How busy the server's core is, is printed: it shows which of both gave up first.
``switches`` is how often, for each result, a thread of the client made way for another.

A frame is not dropped if its result reached the program by 0.3 s after the window that is measured; the first second is
not counted. Where less than a tenth is dropped, it is tried once more: the machine may have other work.

    python benchmarks/cameras_per_core.py [--quick] [--seconds 2] [--fps 30] [--side 640] [--server triton]

Goal: more cameras than the threads, and CPU time in proportion to the cameras.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _null_server import FOUND, MODEL

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit.stream import plan as plans  # noqa: E402  # the checkout's, wherever this is run from
from kit.stream.contract import ModelOptions  # noqa: E402
from kit.stream.reader import Camera  # noqa: E402
from kit.stream.run import run  # noqa: E402
from kit.stream.sources.interface import Option, Picture  # noqa: E402
from kit.stream.uri import CameraUri, own_uri  # noqa: E402

_SIDES = ("kit", "kit, no shm", "threads")
_MOST_LOST = 0.01
_CLEARLY_LOST = 0.1
_WARM_UP_S = 1.0
_LATE_S = 0.3
_FIRST, _MOST = 8, 256
_FRAMES = 16


@dataclass(kw_only=True)
class Film:
    """The cameras' frames and clock: frame ``n`` of a camera is due at ``begin + offset + n / fps``."""

    cameras: int
    fps: float
    side: int
    seconds: float
    begin_s: float = 0.0
    images: list[Any] = field(default_factory=list)
    captured: int = 0
    ages_s: list[float] = field(default_factory=list)
    spent: tuple[float, ...] = ()
    """In the window: the client's CPU seconds, the server's, and how often the client's threads gave way."""

    def __post_init__(self) -> None:
        """Make the frames, and leave the sides a moment to start."""
        shape = (_FRAMES, self.side, self.side, 3)
        self.images = list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
        self.begin_s = time.monotonic() + 0.5 + self.cameras * 0.02
        self.first = int(_WARM_UP_S * self.fps)
        self.last = self.first + int(self.seconds * self.fps)

    def due_s(self, camera: int, number: int) -> float:
        """Return when a frame is taken; cameras do not tick together."""
        return self.begin_s + (number + camera / self.cameras) / self.fps

    def read(self, number: int) -> bool:
        """Count a captured frame; return False where the film is over."""
        self.captured += self.first <= number < self.last
        return number < self.last + _LATE_S * self.fps

    def answer(self, camera: int, number: int) -> None:
        """Count a result."""
        if self.first <= number < self.last:
            self.ages_s.append(time.monotonic() - self.due_s(camera, number))

    def watch(self, server: int) -> threading.Thread:
        """Measure CPU time in the window, in a thread."""

        def work() -> None:
            time.sleep(max(0, self.due_s(0, self.first) - time.monotonic()))
            before = spent_by(server)
            time.sleep(max(0, self.due_s(0, self.last) - time.monotonic()))
            self.spent = tuple(now - then for now, then in zip(spent_by(server), before, strict=True))

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    @property
    def end_s(self) -> float:
        """When results no longer count."""
        return self.due_s(0, self.last) + _LATE_S


@dataclass(kw_only=True)
class FilmSource:
    """The film as a kind of source of the kit: ``film:CAMERA``."""

    film: Film
    name: str = "film"
    schemes: tuple[str, ...] = ("film",)
    forms: tuple[str, ...] = ("film:0",)
    options: tuple[Option, ...] = ()

    def parse(self, text: str) -> CameraUri:
        """Take it apart."""
        return own_uri(text)

    def guess(self, text: str) -> str | None:  # noqa: ARG002 (of the interface)
        """Never."""
        return None

    def live(self, uri: CameraUri) -> bool:  # noqa: ARG002
        """As a camera."""
        return True

    def waits(self, uri: CameraUri) -> bool:  # noqa: ARG002
        """As a camera."""
        return False

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> FilmReader:  # noqa: ARG002
        """Begin."""
        return FilmReader(film=self.film, camera=int(uri.place), halt=halt)


@dataclass(kw_only=True)
class FilmReader:
    """Gives each frame when it is due, late ones at once, as a camera's connection does."""

    film: Film
    camera: int
    halt: threading.Event
    number: int = -1

    def read(self) -> Picture | None:
        """Return the next one."""
        self.number += 1
        number, film = self.number, self.film
        if (left_s := film.due_s(self.camera, number) - time.monotonic()) > 0:
            self.halt.wait(left_s)
        if not film.read(number):
            self.halt.wait(60)  # a live source does not end
            return None
        return Picture(pts_s=number / film.fps, image=lambda: film.images[number % _FRAMES])

    def close(self) -> None:
        """Nothing is open."""


def by_kit(film: Film, url: str, without: frozenset[str]) -> None:
    """Stream as ``kit camera`` does."""
    source = FilmSource(film=film)
    cameras = [Camera(name=str(n), source=source, uri=source.parse(f"film:{n}")) for n in range(film.cameras)]
    seen = plans.calling(lambda found: film.answer(int(found.result.frame.camera), found.result.frame.number))
    run(
        plans.Plan(
            cameras=tuple(plans.CameraPlan(camera=camera, model=MODEL) for camera in cameras),
            models={MODEL: plans.ModelPlan(options=ModelOptions(model=MODEL), url=url)},
            outputs=seen, duration_s=film.end_s - time.monotonic(), without_wires=without,
        )
    )  # fmt: skip


def by_threads(film: Film, url: str) -> None:
    """Stream with a thread for each camera, and a blocking call for each frame."""
    threads = [threading.Thread(target=loop, args=(film, url, camera)) for camera in range(film.cameras)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def loop(film: Film, url: str, camera: int) -> None:
    """One camera; where frames came during a call, the newest is next."""
    import tritonclient.grpc as triton

    number = -1
    with triton.InferenceServerClient(url) as client:
        while True:
            number += 1
            while film.due_s(camera, number + 1) < time.monotonic() and film.read(number):
                number += 1
            time.sleep(max(0, film.due_s(camera, number) - time.monotonic()))
            if not film.read(number):
                return
            batch = film.images[number % _FRAMES][np.newaxis]
            tensor = triton.InferInput("images", batch.shape, "UINT8")
            tensor.set_data_from_numpy(batch)
            answer = client.infer(MODEL, [tensor])
            count = int(answer.as_numpy("num")[0, 0])
            found = [answer.as_numpy(name)[0, :count] for name in ("boxes", "scores", "classes")]
            assert all(len(values) == count == FOUND for values in found)
            film.answer(camera, number)


def client(options: argparse.Namespace) -> None:
    """Be one side in a process of its own, and print what was measured."""
    film = Film(cameras=options.cameras, fps=options.fps, side=options.side, seconds=options.seconds)
    watching = film.watch(options.server_process)
    if options.client == "threads":
        by_threads(film, options.url)
    else:
        by_kit(film, options.url, frozenset() if options.client == "kit" else frozenset({"shm"}))
    watching.join()
    ages = film.ages_s or [float("nan")]
    print(json.dumps({
        "cameras": film.cameras, "captured": film.captured / film.seconds, "results": len(film.ages_s) / film.seconds,
        "lost": 1 - len(film.ages_s) / (film.cameras * (film.last - film.first)),
        "client": film.spent[0] / film.seconds, "server": film.spent[1] / film.seconds,
        "switches": film.spent[2] / film.seconds,
        "p99_ms": float(np.percentile(ages, 99)) * 1e3,
    }))  # fmt: skip


def spent_by(server: int) -> tuple[float, float, int]:
    """Return CPU seconds of this process and of the server, and this process' context switches until now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, cpu_of(server), used.ru_nvcsw + used.ru_nivcsw


def cpu_of(process: int) -> float:
    """Return the CPU seconds that a process and its children have used."""
    ticks = 0
    for each in [process, *children_of(process)]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def children_of(process: int) -> list[int]:
    """Return all processes below one."""
    near = [int(p) for task in Path(f"/proc/{process}/task").iterdir() for p in (task / "children").read_text().split()]
    return [*near, *(far for each in near for far in children_of(each))]


@contextlib.contextmanager
def serving(options: argparse.Namespace, core: int) -> Iterator[tuple[str, int]]:
    """Run a server on a core; give its address and process."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # what is started now inherits it
    if options.server == "triton":
        import client_cpu

        from kit.server import embedded
        from kit.server.interface import ServerOptions

        with tempfile.TemporaryDirectory() as folder:
            client_cpu.write_repository(Path(folder), options.side)
            before = children_of(os.getpid())
            with embedded.running(ServerOptions(repository=Path(folder))) as server:
                os.sched_setaffinity(0, everything)
                yield server.grpc_url, next(p for p in children_of(os.getpid()) if p not in before)
        return
    command = [sys.executable, str(ROOT / "benchmarks" / "_null_server.py"), str(options.side)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(0, everything)
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}", process.pid
        process.communicate()  # it ends with its standard input


def measured(
    side: str, options: argparse.Namespace, server: tuple[str, int], core: int, cameras: int
) -> dict[str, Any]:
    """Return what a side did with so many cameras, alone on a core."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    command = [
        sys.executable, __file__, "--client", side, "--cameras", str(cameras), "--url", server[0], "--server-process",
        str(server[1]), "--seconds", str(options.seconds), "--fps", str(options.fps), "--side", str(options.side),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(0, everything)
        said = process.communicate()[0]
    if process.returncode:
        sys.exit(f"the client failed: {side}, {cameras} cameras")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def largest(measure: Callable[[int], dict[str, Any]], *, finely: bool) -> tuple[int, list[dict[str, Any]]]:
    """Return the largest number of cameras that lose little, to an eighth, and all that was measured on the way."""
    rows: list[dict[str, Any]] = []

    def holds(cameras: int) -> bool:
        for _ in range(2):
            rows.append(measure(cameras))
            if not _MOST_LOST < rows[-1]["lost"] < _CLEARLY_LOST:
                break
        return bool(rows[-1]["lost"] <= _MOST_LOST)

    good, bad = 0, _FIRST
    while bad <= _MOST and holds(bad):
        good, bad = bad, bad * 2
    while finely and good < _MOST and bad - good > max(1, bad // 8):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good, rows


def show(side: str, row: dict[str, Any]) -> None:
    """Print a line."""
    results = max(row["results"], 1e-9)
    print(
        f"{side:12s} {row['cameras']:7d} {row['captured']:8.0f} {row['results']:9.0f} {row['lost']:8.1%} "
        f"{row['client']:10.0%} {row['client'] * 1e3 / results:12.2f} {row['switches'] / results:8.0f} "
        f"{row['server']:10.0%} {row['p99_ms']:10.0f}", flush=True
    )  # fmt: skip


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short windows, numbers of cameras by powers of two only")
    parser.add_argument("--seconds", type=float, default=2.0, help="what is measured of each number of cameras")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--side", type=int, default=640, help="of the frames and of the model's input")
    parser.add_argument("--server", choices=("stand-in", "triton"), default="stand-in")
    for name, kind in (("--client", str), ("--cameras", int), ("--url", str), ("--server-process", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(options)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure all sides and print what each could do."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("this needs two cores: one for the client, one for the server")
    if options.quick:
        options.seconds = 1.0
    if importlib.util.find_spec("inference") is None:
        print("roboflow's inference is not installed: threads stand in for its InferencePipeline")
    print(f"cameras of {options.side} x {options.side} at {options.fps:g} fps, one core, load {os.getloadavg()[0]:.1f}")
    print(f"{'':12s} {'cameras':>7s} {'fps in':>8s} {'results/s':>9s} {'dropped':>8s} {'client CPU':>10s} "
          f"{'ms a result':>12s} {'switches':>8s} {'server CPU':>10s} {'age p99 ms':>10s}")  # fmt: skip
    found: dict[str, int] = {}
    growth: dict[str, float] = {}
    with serving(options, cores[-1]) as server:
        for side in _SIDES:
            measure = functools.partial(measured, side, options, server, cores[0])
            found[side], rows = largest(measure, finely=not options.quick)
            rows.sort(key=lambda row: row["cameras"])
            for row in rows:
                show(side, row)
            growth[side] = grown([row for row in rows if row["lost"] <= _MOST_LOST])
    print(f"\n{'':12s} {'cameras':>7s} {'against threads':>15s} {'CPU a result, most against fewest cameras':>42s}")
    for side, most in found.items():
        ratio = f"{most / found['threads']:.1f}" if found["threads"] else "-"
        print(f"{side:12s} {most:7d} {ratio:>15s} {growth[side]:42.2f}")


def grown(rows: list[dict[str, Any]]) -> float:
    """Return how the CPU time of a result changed from the fewest cameras to the most: 1 is in proportion."""
    each = [row["client"] / row["results"] for row in rows]
    return each[-1] / each[0] if each else float("nan")


if __name__ == "__main__":
    main()
