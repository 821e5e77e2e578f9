"""What kit load can send with one core, beside perf_analyzer, or tritonclient's own calls where that does not run.

The server has every answer ready and stands on one core. Capacity is requests a second for each core that the
generator uses (its CPU time, not the clock's), because the server may be what is slow. Then 80 % of what went through
is sent in an open loop: how much of the schedule was missed, and how late requests were sent. p50 and p99 are compared
at that rate: they are the same only if both know when an answer came.

    python benchmarks/load_generator.py [--seconds 5] [--quick]

Goals: 0.5 of perf_analyzer's requests a second and core; less than 1 % of the schedule missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit import load  # noqa: E402  # the checkout's, wherever this is run from
from kit.load import beside  # noqa: E402

_SIDES = {"1 kB": 18, "1.2 MB": 640}
_AT_ONCE = 8
_MISSED, _SHARE = 0.01, 0.8
MODEL = "frames"


@contextlib.contextmanager
def null_server(side: int, core: int) -> Iterator[str]:
    """Run a server on a core; give its address."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # what is started now inherits it
    command = [sys.executable, str(ROOT / "benchmarks" / "_null_server.py"), str(side)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(0, everything)
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()  # it ends with its standard input


def plan(url: str, rate: float, seconds: float, *, arrivals: str | None) -> load.Plan:
    """Return a load on the null server's model."""
    return load.Plan(
        url=url, models=(load.ModelShare(name=MODEL),), profile=load.held([rate], seconds), arrivals=arrivals,
        warmup_s=1.0,
    )  # fmt: skip


def asynchronous(url: str, side: int, seconds: float) -> None:
    """Send with ``tritonclient``'s ``async_infer``, so many at once, and print requests a second and a core."""
    import numpy as np
    import tritonclient.grpc as triton

    frame = np.zeros((1, side, side, 3), np.uint8)
    tensor = triton.InferInput("images", frame.shape, "UINT8")
    tensor.set_data_from_numpy(frame)
    free, count = threading.Semaphore(_AT_ONCE), 0
    with triton.InferenceServerClient(url) as client:
        start_s, cpu_s = time.monotonic(), time.process_time()
        while time.monotonic() < start_s + seconds:
            free.acquire()
            client.async_infer(MODEL, [tensor], lambda result, error: free.release())  # noqa: ARG005
            count += 1
        for _ in range(_AT_ONCE):
            free.acquire()
        spent_s, cpu_s = time.monotonic() - start_s, time.process_time() - cpu_s
    print(json.dumps({"rate": count / spent_s, "per_core": count / cpu_s}))


def peer(url: str, side: int, seconds: float) -> tuple[str, dict[str, float]]:
    """Return the peer's name and what it did."""
    if shutil.which(beside.PROGRAM):
        before = os.times()
        found = beside.perf_analyzer(plan(url, _AT_ONCE, seconds, arrivals=None))
        after = os.times()
        spent_s = after.children_user + after.children_system - before.children_user - before.children_system
        busy = spent_s / (after.elapsed - before.elapsed)
        return beside.PROGRAM, {"rate": found.inference_rate, "per_core": found.inference_rate / busy}
    words = [sys.executable, __file__, "--peer", url, "--side", str(side), "--seconds", str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return "async_infer", json.loads(done.stdout)


def ours(url: str, rate: float, seconds: float, arrivals: str | None) -> load.Outcome:
    """Return what ``kit load`` did."""
    return load.run(plan(url, rate, seconds, arrivals=arrivals))


def measure(name: str, side: int, seconds: float) -> bool:
    """Print the lines of one size and return whether the goals are reached."""
    cores = sorted(os.sched_getaffinity(0))
    with null_server(side, cores[-1]) as url:
        title, theirs = peer(url, side, seconds)
        closed = ours(url, _AT_ONCE, seconds, None)
        through = _SHARE * closed.total.rate
        opened = ours(url, through, seconds, "constant")
    per_core = closed.total.rate / closed.generators.busy
    ratio = per_core / theirs["per_core"]
    lag, missed = opened.total.lag, opened.generators.schedule_error
    print(f"{name:8}{title:>14}{theirs['rate']:9.0f}/s {theirs['per_core']:8.0f} a core", flush=True)
    print(f"{'':8}{'kit load':>14}{closed.total.rate:9.0f}/s {per_core:8.0f} a core: {ratio:.2f} of it", flush=True)
    print(
        f"{'':8}{'open loop':>14}{opened.total.rate:9.0f}/s due {through:.0f}: {missed:.2%} of the schedule missed, "
        f"sent {lag.p50_ms:.2f} ms after due (p99 {lag.p99_ms:.2f}), {opened.generators.busy:.0%} of a core", flush=True
    )  # fmt: skip
    return ratio >= 0.5 and missed < _MISSED


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="what is measured of each")
    parser.add_argument("--quick", action="store_true", help="2 seconds of each")
    for name, kind in (("--peer", str), ("--side", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.peer:
        asynchronous(options.peer, options.side, options.seconds)
        return
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("this needs two cores: one for the generator, one for the server")
    print(f"{_AT_ONCE} requests at once, load {os.getloadavg()[0]:.1f}")
    reached = [measure(name, side, 2.0 if options.quick else options.seconds) for name, side in _SIDES.items()]
    print("goals reached" if all(reached) else "goals missed")


if __name__ == "__main__":
    main()
