"""``kit tune`` beside an exhaustive grid and Model Analyzer's quick search, on the embedded Triton of this machine.

    python benchmarks/tune.py [--model digits|yolo] [--rounds 5] [--keep DIR] [--fresh]

What is asked: the most requests a second with a p99 within a limit. The grid has every candidate that ``kit tune``
considers, each measured once by the same ladder of Poisson loads; ``quick search`` is Model Analyzer's rule
(``_quick_search.py``), which looks at max_batch_size and instances by closed loops. Then the best of each, and the
configuration that ``kit generate`` wrote, are measured again, in turns, so that what else the machine does meets all
alike: ratios are geometric means over those rounds, with their 95 % interval (the arrivals of one measurement alone
make it stray by some 5 %, see ``kit.tune.measuring``).

Goals: ``kit tune`` at least 0.95 of the best of the grid, and of quick search's, with at most a fifth of the grid's
measurements. Load generator and server share this machine; other work on it is named where it was seen.

What was measured is kept in ``--keep``, and a benchmark that was broken off goes on: ``--fresh`` begins anew.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import _yolo_sized
import onnx
from _closed_loop import ClosedLoop
from _quick_search import Answer, Bounds, climb
from rich.console import Console
from rich.table import Table

from kit import load, tune
from kit.paths import cache_root
from kit.tune import journal, ladder, places, space, subject
from kit.tune.journal import Journal, Line
from kit.tune.measuring import Meter
from kit.tune.places.interface import Place
from kit.tune.predicting import Arithmetic, Service
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Job, Limits, Measurement, Need, Stage, Told

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86-cpu"
P99_MS = {"digits": 50.0, "yolo": 400.0}
_RATIO, _SHARE = 0.95, 0.2
_GRID_FINALISTS = 2
_T_95 = {2: 12.7, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
"""Student's t for so many rounds."""
GRID, KIT, QUICK, BEFORE = "grid", "kit tune", "quick search", "as published"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a way to search chose, after so many ``measurements`` and ``seconds``."""

    way: str
    candidates: tuple[Candidate, ...]
    measurements: int
    seconds: float


@dataclass(kw_only=True)
class Bench:
    """One model: its job, and where its measurements are kept. The server is started when it is needed first."""

    job: Job
    subject: Subject
    candidates: tuple[Candidate, ...]
    kept: Journal
    folder: Path
    open_: ExitStack
    began_s: float = field(default_factory=time.monotonic)
    _meter: Meter | None = None

    def say(self, line: str) -> None:
        """Print a line with the time since the start."""
        print(f"{time.monotonic() - self.began_s:6.0f} s  {self.job.model}: {line}", flush=True)

    def place(self) -> Place:
        """Return the server."""
        return self.meter().place

    def meter(self) -> Meter:
        """Return what measures."""
        if self._meter is None:
            place = self.open_.enter_context(places.opened(self.job, self.subject))
            prepared = self.open_.enter_context(load.Prepared())
            self._meter = Meter(job=self.job, subject=self.subject, place=place, prepared=prepared)
        return self._meter

    def measured(self, candidate: Candidate, stage: Stage, expected: float, repeat: int = 0) -> Measurement:
        """Return a measurement, from an earlier run where it is there."""
        found = self.kept.measurement(stage, candidate)
        if found is None:
            effort = ladder.QUICK if stage is Stage.SEARCH else ladder.CLOSE
            found = self.meter().measure(candidate, stage, expected, effort, repeat=repeat)
            self.kept.keep(Line(measurement=found))
        return found

    def service(self, candidate: Candidate) -> Service:
        """Return what batches take alone: where the ladders of the grid begin."""
        found = self.kept.service(candidate)
        if found is None:
            found = self.meter().service(candidate, (1, max(1, candidate.max_batch_size)))
            self.kept.keep(Line(service=found))
        return found


def published(name: str, folder: Path) -> Path:
    """Return a repository with a model that the kit has made."""
    source = ROOT / "examples" / "digits" / "digits.onnx" if name == "digits" else folder / "yolo.onnx"
    if name == "yolo":
        onnx.save(_yolo_sized.build(), source)
    repository = folder / "repository"
    command = [sys.executable, "-m", "kit", "generate", str(source), "--name", name, "--target", TARGET,
               "--output", str(repository), "--quiet"]  # fmt: skip
    subprocess.run(command, check=True, cwd=ROOT)
    return repository


@contextmanager
def opened(name: str, folder: Path, limits: Limits, p99_ms: float) -> Iterator[Bench]:
    """Yield the bench of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(
        repository=published(name, folder), model=name, target=TARGET, need=Need(p99_ms=p99_ms), limits=limits,
        journal=folder / "grid.jsonl",
    )  # fmt: skip
    known = subject.read(job)
    candidates = space.candidates(known, job.need, job.limits)
    with journal.opened(job, known) as kept, ExitStack() as open_:
        yield Bench(job=job, subject=known, candidates=candidates, kept=kept, folder=folder, open_=open_)


def grid(bench: Bench) -> tuple[Choice, dict[Candidate, Measurement]]:
    """Measure every candidate, in an order that goes along no axis."""
    order = list(bench.candidates)
    random.Random(0).shuffle(order)
    # Each begins where the arithmetic expects it: a ladder far from the edge would take three runs.
    services = [bench.service(probe) for probe in _probes(bench.candidates)]
    arithmetic = Arithmetic(services=services, cores=bench.subject.cores, need=bench.job.need)
    found: dict[Candidate, Measurement] = {}
    for number, candidate in enumerate(order, 1):
        found[candidate] = bench.measured(candidate, Stage.SEARCH, max(1.0, arithmetic.capacity(candidate)))
        made = found[candidate]
        bench.say(f"grid {number} of {len(order)}: {candidate.title}: {_said(made)}")
    able = [made for made in found.values() if made.capacity > 0]
    best = sorted(able, key=lambda made: -made.capacity)[:_GRID_FINALISTS]
    choice = Choice(
        way=GRID,
        candidates=tuple(made.candidate for made in best),
        measurements=len(found),
        seconds=sum(made.seconds for made in found.values()),
    )
    return choice, found


def _probes(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Return one candidate with the largest batch for each number of instances and threads."""
    largest = sorted(candidates, key=lambda c: (-c.max_batch_size, c.queue_delay_us))
    return tuple({(c.instances, c.threads): c for c in reversed(largest)}.values())


def ours(bench: Bench) -> Choice:
    """Let ``kit tune`` choose; its own journal makes its seconds add up over runs that were broken off."""

    def tell(told: Told) -> None:
        best = "" if told.best is None else f"; best so far {told.best.candidate.title}: {told.best.capacity:.1f}/s"
        bench.say(f"kit tune {told.measured} of {told.planned}: {told.stage.value} of {told.candidate.title}{best}")

    found = tune.run(replace(bench.job, journal=bench.folder / "kit.jsonl"), tell=tell)
    for line in (*found.why, f"how sure: {found.sure}"):
        bench.say(f"kit tune: {line}")
    made = [measurement for each in found.ranked for measurement in each.measurements]
    chosen = () if found.best is None else (found.best.candidate,)
    return Choice(
        way=KIT, candidates=chosen, measurements=len(made), seconds=sum(measurement.seconds for measurement in made)
    )


def quick(bench: Bench, before: Measurement) -> Choice:
    """Let Model Analyzer's rule choose, within the largest batch and instance count of the grid."""
    loop = ClosedLoop(
        job=bench.job, base=bench.subject.before, place=bench.place, path=bench.folder / "quick.jsonl",
        say=lambda line: bench.say(f"quick search: {line}"),
    )  # fmt: skip
    bounds = Bounds(
        max_batch_size=max(c.max_batch_size for c in bench.candidates),
        instances=max(c.instances for c in bench.candidates),
    )
    # The default configuration is measured first, and counts.
    default = Answer(rate=before.capacity, excess=0.0) if before.capacity else None
    found = climb(loop.measure, bounds, default)
    chosen = () if found.best is None else (loop.candidate(found.best),)
    seconds = before.seconds + sum(loop.looks[setting].seconds for setting in found.measured)
    return Choice(way=QUICK, candidates=chosen, measurements=1 + len(found.measured), seconds=seconds)


def judged(
    bench: Bench, choices: tuple[Choice, ...], found: Mapping[Candidate, Measurement], rounds: int
) -> dict[Candidate, list[float]]:
    """Return the capacities of all that were chosen, measured in turns; every other round goes the other way."""
    contenders = list(dict.fromkeys(c for choice in choices for c in choice.candidates))
    capacities: dict[Candidate, list[float]] = {candidate: [] for candidate in contenders}
    typical = max((made.capacity for made in found.values()), default=1.0)
    for number in range(rounds):
        for candidate in contenders[:: 1 if number % 2 == 0 else -1]:
            expected = capacities[candidate] or [found[candidate].capacity] if candidate in found else [typical]
            made = bench.measured(candidate, Stage.CONFIRM, statistics.median(expected) or typical, number)
            capacities[candidate].append(made.capacity)
            bench.say(f"round {number + 1} of {rounds}: {candidate.title}: {_said(made)}")
    return capacities


def _said(made: Measurement) -> str:
    noise = f" ({made.noisy})" if made.noisy else ""
    return made.failed or f"{made.capacity:.1f}/s in {made.seconds:.0f} s{noise}"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio of capacities, with its 95 % interval."""

    value: float
    low: float
    high: float


def ratio(one: list[float], other: list[float]) -> Ratio:
    """Return one over the other, from rounds in which both were measured; 0 where one held nothing in any of them."""
    if not all(one) or not all(other):
        return Ratio(value=0.0, low=0.0, high=math.inf)
    logs = [math.log(mine / theirs) for mine, theirs in zip(one, other, strict=True)]
    mean = statistics.mean(logs)
    spread = _T_95.get(len(logs), 2.0) * statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return Ratio(value=math.exp(mean), low=math.exp(mean - spread), high=math.exp(min(mean + spread, 50.0)))


def report(bench: Bench, choices: tuple[Choice, ...], capacities: Mapping[Candidate, list[float]]) -> bool:
    """Print the table of a model and return whether the goals are reached."""
    winner = {
        choice.way: max(choice.candidates, key=lambda candidate: statistics.median(capacities[candidate]))
        for choice in choices
        if choice.candidates
    }
    if GRID not in winner:
        print(f"{bench.job.model}: nothing of the grid held {bench.job.need.p99_ms:g} ms; the machine is not quiet?")
        return False
    table = Table("way", "choice", "requests/s (range)", "of the grid's best", "measurements", "seconds")
    table.title = f"{bench.job.model}: the most under a p99 of {bench.job.need.p99_ms:g} ms"
    for choice in choices:
        if choice.way not in winner:
            table.add_row(choice.way, "nothing held", "", "", str(choice.measurements), f"{choice.seconds:.0f}")
            continue
        candidate = winner[choice.way]
        held = capacities[candidate]
        share = ratio(held, capacities[winner[GRID]]).value
        table.add_row(
            choice.way, candidate.title, f"{statistics.median(held):.1f} ({min(held):.1f} to {max(held):.1f})",
            f"{share:.3f}", str(choice.measurements), f"{choice.seconds:.0f}",
        )  # fmt: skip
    Console(width=140).print(table)
    return KIT in winner and _goals(choices, capacities, winner)


def _goals(
    choices: tuple[Choice, ...], capacities: Mapping[Candidate, list[float]], winner: Mapping[str, Candidate]
) -> bool:
    counts = {choice.way: choice.measurements for choice in choices}
    share = counts[KIT] / counts[GRID]
    reached = share <= _SHARE
    print(f"measurements: {counts[KIT]} of {counts[GRID]}, {share:.2f} (goal: at most {_SHARE})")
    for way in (GRID, QUICK):
        if way in winner:
            found = ratio(capacities[winner[KIT]], capacities[winner[way]])
            reached = reached and found.value >= _RATIO
            print(f"against {way}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] (goal: at least {_RATIO})")
    return reached


def run(name: str, folder: Path, limits: Limits, p99_ms: float, rounds: int) -> bool:
    """Measure one model, print what came of it, and return whether the goals are reached."""
    with opened(name, folder, limits, p99_ms) as bench:
        bench.say(f"{len(bench.candidates)} candidates, load average {os.getloadavg()[0]:.1f}")
        first, found = grid(bench)
        mine = ours(bench)
        before = found[bench.subject.before]
        second = quick(bench, before)
        now = Choice(way=BEFORE, candidates=(before.candidate,), measurements=0, seconds=0.0)
        choices = (first, mine, second, now)
        reached = report(bench, choices, judged(bench, choices, found, rounds))
    print(f"{name}: goals {'reached' if reached else 'missed'}", flush=True)
    return reached


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(P99_MS), help="only this one")
    parser.add_argument("--rounds", type=int, default=5, help="of the final comparison")
    parser.add_argument("--p99", type=float, metavar="MS", help="the limit; by default 50 for digits, 400 for yolo")
    parser.add_argument("--keep", type=Path, default=cache_root() / "benchmark-tune", metavar="DIR")
    parser.add_argument("--fresh", action="store_true", help="measure all again")
    parser.add_argument("--instances", type=_numbers, default=(1, 2, 3), help="1,2,3")
    parser.add_argument("--batches", type=_numbers, default=(1, 2, 4, 8), help="1,2,4,8")
    parser.add_argument("--delays", type=_numbers, default=(0, 2000), help="queue delays in us: 0,2000")
    parser.add_argument("--threads", type=_numbers, default=(1, 2), help="1,2")
    given = parser.parse_args()
    limits = Limits(instances=given.instances, max_batch_sizes=given.batches, queue_delays_us=given.delays,
                    threads=given.threads)  # fmt: skip
    if given.fresh:
        shutil.rmtree(given.keep, ignore_errors=True)
    names = [given.model] if given.model else list(P99_MS)
    reached = [run(name, given.keep / name, limits, given.p99 or P99_MS[name], given.rounds) for name in names]
    sys.exit(0 if all(reached) else 1)


if __name__ == "__main__":
    main()
