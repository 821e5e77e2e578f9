"""A command, and what it took: wall time, and the memory of its whole process tree."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a command ended with; ``code`` is None where it was ended for taking too long.

    ``peak_mib`` is the highest sum of the resident sizes of the tree, sampled; shared pages count once a process.
    """

    code: int | None
    seconds: float
    peak_mib: float
    output: str
    errors: str


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float) -> Run:
    """Run a command to its end, or end it and all that it started after ``limit_s``."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    peak = [0.0]
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done), daemon=True)
    watcher.start()
    code: int | None
    try:
        output, errors = process.communicate(timeout=limit_s)
        code = process.returncode
    except subprocess.TimeoutExpired:
        _end(process.pid)
        output, errors = process.communicate()
        code = None
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return Run(code=code, seconds=seconds, peak_mib=peak[0], output=output, errors=errors)


def _watch(pid: int, peak: list[float], done: threading.Event) -> None:
    while not done.wait(_EVERY_S):
        total = 0
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        peak[0] = max(peak[0], total / 2**20)


def _end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (*root.children(recursive=True), root):
            with suppress(psutil.NoSuchProcess):
                process.kill()
