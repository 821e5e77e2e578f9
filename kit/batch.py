"""Several models at once: a process for each, as many as cores and memory allow; one failure stops no other."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from kit import sources
from kit.errors import WorkerDiedError
from kit.jobs import Failure, Job, Outcome
from kit.machine import Limits
from kit.worker import Done, Note, Working

_BASE_BYTES = 400_000_000
_TIMES_FILE = 8
"""Measured: 310 MB for a small model with its Triton, and 6.3 times the file for larger ones."""
_PYTORCH_BYTES = 1_200_000_000

_GRACE_S = 10.0
"""For a worker to clean up after Ctrl-C: it kills its server and deletes what it staged."""
_POLL_S = 0.02


class Board(Protocol):
    """Receives what happens to each model, by name."""

    def begun(self, name: str) -> None:
        """Tell that a model's turn has come."""

    def working(self, name: str, what: str | None) -> None:
        """Tell what is at work; None: nothing that has a name."""

    def done(self, name: str, event: Done) -> None:
        """Tell that a stage has ended."""

    def note(self, name: str, text: str) -> None:
        """Tell something that the user should know."""

    def ended(self, outcome: Outcome, seconds: float) -> None:
        """Tell what became of a model."""


@dataclass(frozen=True, kw_only=True)
class Crew:
    """How many models are made at the same time, and why not more."""

    workers: int
    reason: str


def crew(jobs: Sequence[Job], limits: Limits, wanted: int | None = None) -> Crew:
    """Return how many models to make at once: one for each core, as far as the largest of them fit into memory.

    Each runs an embedded Triton of its own for a few seconds.
    """
    if wanted is not None:
        return Crew(workers=min(wanted, len(jobs)), reason="as asked for")
    cores, free = limits.cores, limits.free_memory_bytes
    most = min(cores, len(jobs))
    reason = f"{cores} cores" if cores > 1 else "1 core"
    if free is None:
        return Crew(workers=most, reason=reason)
    needs = sorted((need_bytes(job) for job in jobs), reverse=True)
    fitting = max((count for count in range(1, most + 1) if sum(needs[:count]) <= free), default=1)
    return Crew(workers=fitting, reason=f"{reason}, {free / 1e9:.1f} GB free")


def need_bytes(job: Job) -> int:
    """Return about how much memory a model takes to be made, in bytes."""
    path = Path(job.spec.source)
    size = path.stat().st_size if path.is_file() else 0
    with_torch = "torch" in sources.resolve(job.spec.source).tools
    return _BASE_BYTES + _TIMES_FILE * size + (_PYTORCH_BYTES if with_torch else 0)


def run(jobs: Sequence[Job], board: Board, workers: int) -> tuple[Outcome, ...]:
    """Make all models, at most ``workers`` at a time, and return what became of each, in their order.

    An interruption ends every worker before it is raised again; what was published until then stays.
    """
    waiting, found = deque(jobs), dict[str, Outcome]()
    with _Shift(board=board) as shift:
        while waiting or shift.running:
            while waiting and len(shift.running) < workers:
                shift.begin(waiting.popleft())
            for outcome in shift.listen():
                found[outcome.name] = outcome
    return tuple(found[job.spec.name] for job in jobs)


@dataclass(eq=False)
class _Worker:
    """A process that makes one model; what it prints is kept apart from what it tells."""

    job: Job
    process: subprocess.Popen[bytes]
    connection: Connection
    start: float = field(default_factory=time.perf_counter)
    printed: bytes = b""
    last: str = ""
    outcome: Outcome | None = None

    @property
    def name(self) -> str:
        return self.job.spec.name

    @property
    def output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def close(self) -> None:
        self.output.close()
        self.connection.close()


@dataclass(kw_only=True)
class _Shift:
    """The workers of now. Leaving the ``with`` block ends those that are still at work."""

    board: Board
    running: list[_Worker] = field(default_factory=list)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __enter__(self) -> _Shift:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.running:
            worker.process.send_signal(signal.SIGINT)
        until = time.monotonic() + _GRACE_S
        while any(worker.process.poll() is None for worker in self.running) and time.monotonic() < until:
            for worker in self.running:
                worker.output.read(1 << 16)  # a full pipe would hold it
            time.sleep(_POLL_S)
        for worker in self.running:
            worker.process.kill()
            worker.process.wait()
            worker.close()
        self.selector.close()

    def begin(self, job: Job) -> None:
        """Start a worker. It has a session of its own: Ctrl-C in a terminal reaches it once, from here."""
        ours, theirs = socket.socketpair()
        with theirs:
            # Modules are looked for where this process does, and not in the current folder, which may hold a kit.py.
            program = f"import sys; sys.path[:] = {sys.path!r}; from kit.worker import main; main()"
            command = [sys.executable, "-c", program, str(theirs.fileno()), str(os.getpid())]
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        worker = _Worker(job=job, process=process, connection=Connection(ours.detach()))
        self.running.append(worker)
        os.set_blocking(worker.output.fileno(), False)
        self.selector.register(worker.connection, selectors.EVENT_READ, worker)
        self.selector.register(worker.output, selectors.EVENT_READ, worker)
        worker.connection.send(job)
        self.board.begun(worker.name)

    def listen(self) -> list[Outcome]:
        """Wait until workers tell or print something; return what became of those that have ended."""
        ended = []
        for key, _ in self.selector.select():
            worker = key.data
            if worker not in self.running:  # its end came in the same moment as its last words, and took them along
                continue
            if key.fileobj is not worker.connection:
                self._hear(worker)
            elif not self._receive(worker):
                ended.append(self._end(worker))
        return ended

    def _receive(self, worker: _Worker) -> bool:
        """Pass on what a worker tells; tell whether there may be more."""
        try:
            event = worker.connection.recv()
        except (EOFError, ConnectionError):
            return False
        if isinstance(event, Working):
            self.board.working(worker.name, event.what)
        elif isinstance(event, Done):
            self.board.done(worker.name, event)
        elif isinstance(event, Note):
            self.board.note(worker.name, event.text)
        elif isinstance(event, Outcome):
            worker.outcome = event
        return True

    def _hear(self, worker: _Worker) -> None:
        """Pass on the whole lines that a worker, or a library in it, has printed."""
        data = worker.output.read(1 << 16)
        if data == b"":
            self._deaf_to(worker)
        *lines, worker.printed = (worker.printed + (data or b"")).split(b"\n")
        if worker.process.returncode is not None:
            lines, worker.printed = [*lines, worker.printed], b""
        for line in lines:
            text = line.decode(errors="replace").strip()
            if text:
                worker.last = text
                self.board.note(worker.name, text)

    def _deaf_to(self, worker: _Worker) -> None:
        """Wait no more for what a worker prints."""
        if worker.output in self.selector.get_map():
            self.selector.unregister(worker.output)

    def _end(self, worker: _Worker) -> Outcome:
        """Return what became of a worker that has closed its connection."""
        self.selector.unregister(worker.connection)
        worker.process.wait()
        self._hear(worker)
        self._deaf_to(worker)
        worker.close()
        self.running.remove(worker)
        outcome = worker.outcome or Outcome(name=worker.name, failure=_died(worker))
        self.board.ended(outcome, time.perf_counter() - worker.start)
        return outcome


def _died(worker: _Worker) -> Failure:
    """Say why a worker ended without a word."""
    code = worker.process.returncode
    if code == -signal.SIGKILL:
        why = "was killed, as the system does when memory runs out; make fewer at once: --workers 1"
    elif code < 0:
        why = f"crashed ({signal.Signals(-code).name}); the libraries that read models do that on broken ones"
    else:
        why = f"ended with exit code {code}"
    error = WorkerDiedError(
        f"the process that made it {why}" + (f"; its last line: {worker.last}" if worker.last else "")
    )
    return Failure(message=str(error), exit_code=error.exit_code)
