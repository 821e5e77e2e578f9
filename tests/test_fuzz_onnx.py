"""No damaged or senseless ONNX file is answered with a traceback, a crash, or silence: one line and an exit code, soon.

A worker process runs the kit's command line, so that a crash of a native library is a failed test with the file that
caused it, and not the end of pytest. ``KIT_FUZZ_EXAMPLES=5000`` searches longer than the default, and differently.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutations
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("KIT_FUZZ_EXAMPLES", "0"))
LIMIT_S = 60
MEMORY_BYTES = 12 << 30
EXPECTED = frozenset({0, 10, 11, 12, 15, 18, 30, 31, 62, 63})

WORKER = f"""
import json, os, resource, shutil, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import kit.cli
for line in sys.stdin:
    command, path, more = json.loads(line)
    code = kit.cli.run([command, path, *more])
    sys.stdout.flush(); sys.stderr.flush()
    published = os.path.exists("out/model")
    shutil.rmtree("out", ignore_errors=True)
    shutil.rmtree("cache", ignore_errors=True)
    print(json.dumps([code, published]), file=answers, flush=True)
"""


class Worker:
    """A process that runs ``kit generate`` on one file after the other; started again when it died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._said = folder / "said.txt"
        self._said.touch()

    def ask(self, command: str, data: bytes, *arguments: str) -> tuple[int | None, bool, str]:
        """Return exit code (None: the process ended or took too long), whether it published, and what it printed."""
        process = self._running()
        path = self._folder / "model.onnx"
        path.write_bytes(data)
        before = self._said.stat().st_size
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(LIMIT_S, process.kill)
        late.start()
        try:
            process.stdin.write(json.dumps([command, str(path), arguments]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        finally:
            late.cancel()
        with self._said.open("rb") as file:
            file.seek(before)
            said = file.read().decode(errors="replace")
        if not answer:
            return (
                None,
                False,
                f"ended with {process.wait()} (-9: after {LIMIT_S} s, or for memory); it said: {said[-3000:]}",
            )
        code, published = json.loads(answer)
        return code, published, said

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            with self._said.open("a") as said:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", WORKER], cwd=self._folder, text=True, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=said,
                    env={**os.environ, "KIT_CACHE_DIR": str(self._folder / "cache")},
                )  # fmt: skip
        return self._process

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    folder = Path(tempfile.mkdtemp(prefix="kit-fuzz-"))
    made = Worker(folder)
    yield made
    made.end()
    shutil.rmtree(folder, ignore_errors=True)


def searched(examples: int) -> Any:
    """Return the settings: the same search each time, or a longer and random one where it was asked for."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )


def require_one_line(worker: Worker, data: bytes, *arguments: str) -> None:
    code, published, said = worker.ask("generate", data, "--no-verify", "--quiet", "--output", "out", *arguments)
    lines = said.splitlines()
    assert code in EXPECTED, (code, said)
    assert [line[:5] for line in lines] == ([] if code == 0 else ["kit: "]), (code, said)
    assert all(line.isprintable() for line in lines), said
    assert published == (code == 0), (code, said)


@searched(150)
@given(data=mutations.files())
def test_damaged_bytes(worker: Worker, data: bytes) -> None:
    require_one_line(worker, data)


@searched(250)
@given(data=mutations.graphs(), native=st.booleans())
def test_senseless_graphs(worker: Worker, data: bytes, *, native: bool) -> None:
    require_one_line(worker, data, *(("--contract", "native") if native else ()))


@searched(100)
@given(data=mutations.graphs() | mutations.files())
def test_inspect(worker: Worker, data: bytes) -> None:
    code, _, said = worker.ask("inspect", data)
    assert code in EXPECTED, (code, said)
    assert all(line.isprintable() for line in said.splitlines()), said
    assert code == 0 or said.startswith("kit: "), (code, said)
