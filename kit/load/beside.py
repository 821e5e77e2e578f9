"""The same load by NVIDIA's perf_analyzer, where that program runs: both numbers beside each other.

Its binary needs glibc 2.38 (PyPI's ``perf-analyzer``, or the Triton SDK container). It measures three windows, which
are as long as the plan together.
"""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import LoadError
from kit.load import arrivals, protocols
from kit.load.values import Plan

PROGRAM = "perf_analyzer"
_PATIENCE_S = 60.0
"""More than it takes to prepare and to wait for the last answers; now and then it waits for ever."""
_WINDOWS = 3
_ANY_PERCENT = "1000"
"""perf_analyzer goes on until windows agree, and tells nothing where they never do; whether they do is told anyway."""
_COLUMNS = {"rate": "Inferences/Second", "p50": "p50 latency", "p90": "p90 latency", "p95": "p95 latency",
            "p99": "p99 latency"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What perf_analyzer measured: inferences a second, and percentiles of its latency in ms (from when it sent)."""

    command: tuple[str, ...]
    inference_rate: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float

    def lines(self) -> Iterator[str]:
        """Yield a line like those of the models."""
        times = (self.p50_ms, self.p90_ms, self.p95_ms, self.p99_ms)
        yield f"{PROGRAM:14}{self.inference_rate:10.1f} {'':8} " + " ".join(f"{value:8.2f}" for value in times)


def perf_analyzer(plan: Plan, patience_s: float = _PATIENCE_S) -> Compared:
    """Measure the plan's load again; ``patience_s`` is how much longer than three times as long it may take.

    Raises ``LoadError`` where the program does not run here, or the load is one that it cannot make.
    """
    program = require(plan)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.csv"
        command = (program, *arguments(plan), "-f", str(file))
        limit_s = _WINDOWS * plan.profile.seconds + patience_s
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"{PROGRAM} did not end in {limit_s:.0f} s; try again") from error
        except OSError as error:
            raise LoadError(f"{PROGRAM} does not run here: {error}") from error
        if not file.exists():
            words = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise LoadError(f"{PROGRAM} measured nothing (exit code {done.returncode}): {words[-1] if words else ''}")
        return read(file, command)


def require(plan: Plan) -> str:
    """Return where the program is. Raises ``LoadError`` where there is none, or it cannot make this load."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise LoadError(
            f"{PROGRAM} is not on the PATH; take the one of Triton's SDK container, or leave out --perf-analyzer"
        )
    arguments(plan)
    return program


def arguments(plan: Plan) -> tuple[str, ...]:
    """Return perf_analyzer's options for a plan. Raises ``LoadError`` where it has none that mean the same."""
    of_cameras = plan.arrivals is not None and arrivals.get(plan.arrivals).of_cameras
    if len(plan.models) > 1 or len(plan.profile.phases) > 1 or of_cameras:
        raise LoadError(f"{PROGRAM} sends to one model at one rate; give one --model, and --rate R or --users N")
    share, load = plan.models[0], plan.profile.phases[0].first
    words = ["-m", share.name, "-u", plan.url, *protocols.get(plan.protocol).options, "--async",
             "-b", str(share.batch), "--percentile", "99",
             "-p", str(math.ceil(plan.profile.seconds / _WINDOWS * 1e3)), "-s", _ANY_PERCENT]  # fmt: skip
    if plan.arrivals is None:
        words += ["--concurrency-range", f"{load:g}"]
    else:
        words += ["--request-rate-range", f"{load:g}", "--request-distribution", plan.arrivals]
    for name, shape in plan.shapes.items():
        words += ["--shape", f"{name}:{','.join(map(str, shape))}"]
    return tuple(words)


def read(file: Path, command: tuple[str, ...]) -> Compared:
    """Read the last row of perf_analyzer's CSV, whose times are in microseconds. Raises ``LoadError``."""
    with file.open(newline="", encoding="utf-8") as rows:
        found = list(csv.DictReader(rows))
    try:
        values = {name: float(found[-1][column]) for name, column in _COLUMNS.items()}
    except (IndexError, KeyError, ValueError) as error:
        raise LoadError(f"{PROGRAM} wrote a table without {error}") from error
    return Compared(
        command=command,
        inference_rate=values["rate"],
        p50_ms=values["p50"] / 1e3,
        p90_ms=values["p90"] / 1e3,
        p95_ms=values["p95"] / 1e3,
        p99_ms=values["p99"] / 1e3,
    )
