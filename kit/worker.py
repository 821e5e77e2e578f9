"""The process that makes one model of several; ``kit.batch`` starts it and listens.

A process of its own, because the libraries hold Python's lock for long and crash as a whole; and what one model took
of the memory is free for the next.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from kit.errors import KitError, of_system
from kit.jobs import Failure, Job, Outcome
from kit.pipeline import Result, generate
from kit.progress import Progress

_PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>"""


@dataclass(frozen=True, kw_only=True)
class Working:
    """A stage is at work; None: it is over."""

    what: str | None


@dataclass(frozen=True, kw_only=True)
class Done:
    """A stage has ended: see ``kit.progress.Progress``."""

    stage: str
    result: str
    seconds: float
    cached: bool


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that the user should know."""

    text: str


def make(job: Job, progress: Progress) -> Result:
    """Make and publish one model. Raises a ``KitError``.

    Code of the user's may stand beside the spec file. For other models that folder is not looked at: a file in it
    that is named like a library would be taken for that.
    """
    if ":" not in job.spec.source:
        return generate(job.spec, job.options, progress)
    beside = str(job.folder)
    sys.path.insert(0, beside)
    try:
        return generate(job.spec, job.options, progress)
    finally:
        with suppress(ValueError):  # the user's code may have taken it out
            sys.path.remove(beside)


def attempt(job: Job, progress: Progress) -> Outcome:
    """Make one model and return what became of it, whatever it was but an interruption."""
    try:
        return Outcome(name=job.spec.name, result=make(job, progress))
    except Exception as error:  # noqa: BLE001 (one model's failure, a fault of ours too, does not stop the others)
        return Outcome(name=job.spec.name, failure=_failure(error))


def _failure(error: Exception) -> Failure:
    known = error if isinstance(error, KitError) else of_system(error)
    if known is not None:
        return Failure(message=str(known), exit_code=known.exit_code)
    message = f"a fault of kit: {type(error).__name__}: {error}"
    return Failure(message=message, exit_code=1, trace=traceback.format_exc())


class Wire:
    """Progress that is sent to the process that listens; from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, event: object) -> None:
        """Send one event."""
        with self._lock:
            self._connection.send(event)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Tell what is at work as long as the block lasts."""
        self.send(Working(what=what))
        yield
        self.send(Working(what=None))

    def done(self, stage: str, result: str, seconds: float, *, cached: bool) -> None:
        """Tell that a stage has ended."""
        self.send(Done(stage=stage, result=result, seconds=seconds, cached=cached))

    def note(self, text: str) -> None:
        """Tell something."""
        self.send(Note(text=text))


def _end_with(parent: int) -> None:
    """End as by SIGTERM when the process that listens is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise KeyboardInterrupt


def main() -> None:
    """Make the model that is asked for, tell what becomes of it, and end the process.

    Its arguments are the descriptor of the connection and the process that listens there.
    """
    code = _serve()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said
    sys.exit(code)


def _serve() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
        os.set_inheritable(descriptor, False)
        with Connection(descriptor) as connection:
            _end_with(parent)
            wire = Wire(connection)
            wire.send(attempt(connection.recv(), wire))
    except (KeyboardInterrupt, BrokenPipeError, EOFError):
        return 128 + signal.SIGINT
    return 0
