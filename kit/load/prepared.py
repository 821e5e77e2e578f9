"""A process in which locust is imported already, so that loads that follow each other start at once."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

from kit.load import agreed, generating
from kit.load.agreed import Start
from kit.load.generating import Hosts
from kit.load.values import Message, Plan

_PATIENCE_S = 60.0
"""Importing locust takes less, on any machine and however busy."""
_FAREWELL_S = 4.0


@dataclass(kw_only=True)
class Generator:
    """A locust that runs, or has: ``messages`` ends with None, and ``code`` is its exit code then."""

    said: IO[bytes]
    messages: queue.Queue[Message | None] = field(default_factory=queue.Queue)
    process: int | None = None
    code: int | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask it to end; what it has counted still comes."""
        self.begun.wait(_PATIENCE_S)
        if self.process is not None and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGTERM)

    def end(self, farewell_s: float) -> bool:
        """End it and the processes that it made; return whether it has ended, and told its last.

        A master has a moment to send its workers home, which are on other machines.
        """
        if farewell_s:
            self.stop()
            self.ended.wait(farewell_s)
        self.begun.wait(_PATIENCE_S)
        if self.process is not None and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process, signal.SIGKILL)
        return self.ended.wait(_PATIENCE_S)

    def last_words(self) -> str:
        """Return the last line that it wrote on standard error."""
        self.said.seek(0)
        lines = [line for line in self.said.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"


class Prepared:
    """Starts loads, one at a time; leaving the ``with`` block ends what runs. A process that was lost is started anew.

    ``__enter__`` raises ``MissingExtraError`` where locust is not installed.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 (it is closed at the end of the block)
        self._reader: threading.Thread | None = None
        self._lock = threading.Lock()
        self._current: Generator | None = None
        self._gone: int | None = None
        """How the process has ended, once all that it told was read; it may be sooner than a load is started."""

    def __enter__(self) -> Prepared:
        generating.require()
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._leave()
        self._said.close()

    @contextlib.contextmanager
    def running(self, plan: Plan, hosts: Hosts) -> Iterator[Generator]:
        """Start locust with a plan; after the block it has ended, whatever happened."""
        generator = self._start(plan, hosts)
        try:
            yield generator
        finally:
            if not generator.end(farewell_s=_FAREWELL_S if hosts.master else 0.0):
                self._leave()

    def _start(self, plan: Plan, hosts: Hosts) -> Generator:
        import msgspec

        if self._process is None or self._process.poll() is not None:
            self._leave()
            self._begin()
        assert self._process is not None
        assert self._process.stdin is not None
        self._said.truncate(0)
        generator = Generator(said=self._said)
        with self._lock:
            self._current, gone = generator, self._gone
        if gone is not None:
            _over(generator, gone)
        variables = {agreed.PLAN: msgspec.json.encode(plan).decode()}
        line = msgspec.json.encode(Start(words=generating.command(hosts), variables=variables))
        with contextlib.suppress(BrokenPipeError):  # it has just ended, which the reader tells
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        return generator

    def _begin(self) -> None:
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kit.load.nursery"], env={**generating.environment(), agreed.PIPE: str(writing)},
                pass_fds=(writing,), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said,
                start_new_session=True, cwd=generating.NEUTRAL,
            )  # fmt: skip
        finally:
            os.close(writing)
        self._gone = None
        given = (os.fdopen(reading, "rb"), self._process)
        self._reader = threading.Thread(target=self._read, args=given, daemon=True)
        self._reader.start()

    def _leave(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.kill()  # what it had made has ended before
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._reader is not None:
            self._reader.join(_PATIENCE_S)
        self._process = None

    def _read(self, pipe: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        """Hand on what comes; where it ends, nothing runs any more."""
        import msgspec

        decoder = msgspec.json.Decoder(Message)
        with pipe:
            for line in pipe:
                generator = self._current
                if generator is None:
                    continue
                if line.startswith(agreed.BORN.encode()):
                    generator.process = int(line[1:])
                    generator.begun.set()
                elif line.startswith(agreed.GONE.encode()):
                    _over(generator, int(line[1:]))
                else:
                    with contextlib.suppress(msgspec.DecodeError):  # the last one of a process that was killed
                        generator.messages.put(decoder.decode(line))
        code = process.wait()
        with self._lock:
            generator, self._gone = self._current, code
        if generator is not None:
            _over(generator, code)


def _over(generator: Generator, code: int) -> None:
    if generator.ended.is_set():
        return
    generator.code = code
    generator.ended.set()
    generator.begun.set()
    generator.messages.put(None)
