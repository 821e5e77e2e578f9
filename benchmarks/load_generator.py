"""What kit load can send with one core, beside perf_analyzer, or tritonclient's own calls where that does not run.

The server has every answer ready and stands on one core, all that send on the others. Capacity is requests a second for
each core that the generator uses (its CPU time, not the clock's), because the server may be what is slow. Then 80 % of
what went through is sent in an open loop: how much of the schedule was missed, and how late requests were sent. p50 and
p99 are compared at a rate that all bear, on a server that answers after 5 ms: they are the same only if each knows when
an answer came.

All sides are measured in turn, in rounds; medians are compared, and the range of the rounds is printed.

    python benchmarks/load_generator.py [--seconds 2] [--rounds 3] [--perf-analyzer FILE]

Goals: 0.5 of perf_analyzer's requests a second and core (or of async_infer's where it does not run); less than 1 % of
the schedule missed; p50 and p99 within 10 %. On Debian 12, benchmarks/_perf_analyzer.sh makes a FILE that runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit import load  # noqa: E402  # the checkout's, wherever this is run from
from kit.errors import LoadError  # noqa: E402
from kit.load import beside  # noqa: E402

_SIDES = {"1 kB": 18, "1.2 MB": 640}
_AT_ONCE = 8
_MISSED, _SHARE, _OF_PEER, _NEAR = 0.01, 0.8, 0.5, 0.1
_PATIENCE_S = 10.0
_DELAY_MS, _RATE, _LONGER = 5.0, 150.0, 3
MODEL = "frames"


@contextlib.contextmanager
def null_server(side: int, core: int, delay_ms: float = 0.0) -> Iterator[str]:
    """Run a server on a core; give its address."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # what is started now inherits it
    command = [sys.executable, str(ROOT / "benchmarks" / "_null_server.py"), str(side), str(delay_ms)]
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


def asynchronous(url: str, side: int, seconds: float, rate: float) -> None:
    """Send with ``tritonclient``'s ``async_infer`` and print what came of it, as JSON.

    So many at once, as fast as they go; with a ``rate``, one after another at that rate, whatever comes back.
    """
    import numpy as np
    import tritonclient.grpc as triton

    frame = np.zeros((1, side, side, 3), np.uint8)
    tensor = triton.InferInput("images", frame.shape, "UINT8")
    tensor.set_data_from_numpy(frame)
    free, times_s = threading.Semaphore(10_000 if rate else _AT_ONCE), list[float]()
    with triton.InferenceServerClient(url) as client:
        start_s, cpu_s = time.monotonic(), time.process_time()
        count = 0
        while time.monotonic() < start_s + seconds:
            if rate:
                time.sleep(max(0.0, start_s + count / rate - time.monotonic()))
            free.acquire()

            def done(result: object, error: object, sent_s: float = time.monotonic()) -> None:  # noqa: ARG001
                times_s.append(time.monotonic() - sent_s)
                free.release()

            client.async_infer(MODEL, [tensor], done)
            count += 1
        while len(times_s) < count:
            time.sleep(0.01)
        spent_s, cpu_s = time.monotonic() - start_s, time.process_time() - cpu_s
    p50, p99 = (float(np.percentile(times_s, percent)) * 1e3 for percent in (50, 99))
    print(json.dumps({"rate": count / spent_s, "per_core": count / cpu_s, "p50": p50, "p99": p99}))


def by_triton(url: str, side: int, seconds: float, rate: float = 0.0) -> dict[str, float]:
    """Return what ``async_infer`` did, in a process of its own."""
    words = [sys.executable, __file__, "--peer", url, "--side", str(side), "--seconds", str(seconds)]
    done = subprocess.run([*words, "--rate", str(rate)], capture_output=True, text=True, check=True, timeout=120)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def by_perf_analyzer(url: str, seconds: float, rate: float = 0.0) -> dict[str, float]:
    """Return what perf_analyzer did, on all cores: on one it may hang with large inputs. Raises ``LoadError``."""
    asked = plan(url, rate or _AT_ONCE, seconds, arrivals="constant" if rate else None)
    ours, before = os.sched_getaffinity(0), os.times()
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        found = beside.perf_analyzer(asked, patience_s=_PATIENCE_S)
    finally:
        os.sched_setaffinity(0, ours)
    after = os.times()
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    busy = spent_s / (after.elapsed - before.elapsed)
    return {
        "rate": found.inference_rate, "per_core": found.inference_rate / busy, "p50": found.p50_ms, "p99": found.p99_ms
    }  # fmt: skip


def by_kit(url: str, seconds: float, rate: float, arrivals: str | None, prepared: load.Prepared) -> dict[str, float]:
    """Return what ``kit load`` did; times are from when a request was sent, as the others have them."""
    found = load.run(plan(url, rate, seconds, arrivals=arrivals), prepared=prepared)
    sent, lag = found.total.service, found.total.lag
    return {
        "rate": found.total.rate, "per_core": found.total.rate / max(1e-6, found.generators.busy),
        "missed": found.generators.schedule_error, "p50": sent.p50_ms or 0.0, "p99": sent.p99_ms or 0.0,
        "lag50": lag.p50_ms or 0.0, "lag99": lag.p99_ms or 0.0, "busy": found.generators.busy,
        "due50": found.total.response.p50_ms or 0.0, "due99": found.total.response.p99_ms or 0.0,
    }  # fmt: skip


Rounds = dict[str, list[float]]


def in_turn(sides: dict[str, Callable[[], dict[str, float]]], rounds: int) -> dict[str, Rounds]:
    """Measure all sides, round by round; return the rounds' values of each, by name. One that fails is left out."""
    found: dict[str, Rounds] = {name: {} for name in sides}
    for _ in range(rounds):
        for name in list(found):
            try:
                values = sides[name]()
            except LoadError as error:
                print(f"  {error}: it is left out here", flush=True)
                del found[name]
                continue
            for what, value in values.items():
                found[name].setdefault(what, []).append(value)
    return found


def peer_of(found: dict[str, Rounds]) -> str:
    """Return whom the kit is compared with."""
    return beside.PROGRAM if beside.PROGRAM in found else "async_infer"


def told(values: Sequence[float], form: str = ".0f") -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def judged(what: str, text: str, held: bool) -> bool:
    """Print a goal."""
    print(f"  goal: {what}: {text}: {'held' if held else 'NOT HELD'}", flush=True)
    return held


def capacity(name: str, side: int, options: Any, prepared: load.Prepared) -> bool:
    """Print what all can send of one size, and whether the goals are reached."""
    with null_server(side, options.core) as url:
        sides: dict[str, Callable[[], dict[str, float]]] = {
            "async_infer": lambda: by_triton(url, side, options.seconds),
            "kit load": lambda: by_kit(url, options.seconds, _AT_ONCE, None, prepared),
        }
        if options.analyzer:
            sides[beside.PROGRAM] = lambda: by_perf_analyzer(url, options.seconds)
        found = in_turn(sides, options.rounds)
        through = _SHARE * statistics.median(found["kit load"]["rate"])
        opened = in_turn({"": lambda: by_kit(url, options.seconds, through, "constant", prepared)}, options.rounds)[""]
    for each, values in found.items():
        print(
            f"{name:8}{each:>14} {told(values['per_core'])} requests a second and core; {told(values['rate'])} a second"
        )
    print(
        f"{name:8}{'open loop':>14} {told(opened['rate'])} a second, due {through:.0f}; "
        f"sent {told(opened['lag50'], '.2f')} ms after due, "
        f"p99 {told(opened['lag99'], '.2f')}; {told(opened['busy'], '.0%')} of a core"
    )
    peer = peer_of(found)
    ratios = [a / b for a, b in zip(found["kit load"]["per_core"], found[peer]["per_core"], strict=True)]
    enough = judged(f"{_OF_PEER} of {peer}'s a core", told(ratios, ".2f"), statistics.median(ratios) >= _OF_PEER)
    kept = statistics.median(opened["missed"]) < _MISSED
    return judged(f"{_MISSED:.0%} of the schedule missed", told(opened["missed"], ".2%"), kept) and enough


def latencies(options: Any, prepared: load.Prepared) -> bool:
    """Print the latencies that all see at one rate, and whether they are the same."""
    side, seconds = _SIDES["1 kB"], _LONGER * options.seconds
    with null_server(side, options.core, _DELAY_MS) as url:
        sides: dict[str, Callable[[], dict[str, float]]] = {
            "async_infer": lambda: by_triton(url, side, seconds, _RATE),
            "kit load": lambda: by_kit(url, seconds, _RATE, "constant", prepared),
        }
        if options.analyzer:
            sides[beside.PROGRAM] = lambda: by_perf_analyzer(url, seconds, _RATE)
        found = in_turn(sides, options.rounds)
    print(f"{_RATE:.0f} a second, each answered after {_DELAY_MS:g} ms; ms from when a request was sent")
    for each, values in found.items():
        print(f"{'':8}{each:>14} p50 {told(values['p50'], '.2f')}, p99 {told(values['p99'], '.2f')}")
    ours = found["kit load"]
    print(f"{'':8}{'from due':>14} p50 {told(ours['due50'], '.2f')}, p99 {told(ours['due99'], '.2f')}")
    peer, near = peer_of(found), []
    for what in ("p50", "p99"):
        ratios = [a / b for a, b in zip(ours[what], found[peer][what], strict=True)]
        near.append(
            judged(
                f"{what} within {_NEAR:.0%} of {peer}'s",
                told(ratios, ".2f"),
                abs(statistics.median(ratios) - 1) <= _NEAR,
            )
        )
    return all(near)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="what is measured of each, three times as long for p99"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often")
    parser.add_argument("--perf-analyzer", type=Path, metavar="FILE", help="the program; else that of the PATH, if any")
    for name, kind in (("--peer", str), ("--side", int), ("--rate", float)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.peer:
        asynchronous(options.peer, options.side, options.seconds, options.rate)
        return
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        sys.exit("this needs two cores: one for the generator, one for the server")
    options.core = max(cores)
    os.sched_setaffinity(0, cores - {options.core})  # a scheduler likes to wake a client where its server is
    if options.perf_analyzer is not None:
        os.environ["PATH"] = os.pathsep.join([str(options.perf_analyzer.resolve().parent), os.environ["PATH"]])
    options.analyzer = shutil.which(beside.PROGRAM) is not None
    print(f"{options.rounds} rounds, medians (and range); {_AT_ONCE} requests at once, load {os.getloadavg()[0]:.1f}")
    if not options.analyzer:
        print(f"{beside.PROGRAM} is not there: compared with async_infer; see --help")
    with load.Prepared() as prepared:
        reached = [capacity(name, side, options, prepared) for name, side in _SIDES.items()]
        reached.append(latencies(options, prepared))
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    print("goals held" if all(reached) else "NOT all goals held")


if __name__ == "__main__":
    main()
