"""A script of ours that runs in another environment, as long as a ``with`` block lasts."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from kit import disk
from kit.environments import making, wire
from kit.environments.installing import cache_translated
from kit.environments.making import Environment
from kit.errors import KitError, OutOfMemoryError, ToolEnvironmentError, WorkerDiedError
from kit.signals import deferred

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"
Streams: TypeAlias = "Mapping[str, Callable[[], Iterable[Mapping[str, Any]]]]"

_PROGRAM = Path(__file__).with_name("serve.py")
_IN_USE = "in-use"
_TAIL_BYTES = 16_000


class ScriptError(Exception):
    """A script said no. ``kind`` is the name of what was raised there, ``Refused`` for what the user can mend."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a script's function returned: JSON and arrays by name, which may be written to."""

    data: dict[str, Any]
    arrays: Arrays = field(default_factory=dict)


class Worker:
    """Calls functions of ``script``, a file of plain Python, under an environment's interpreter.

    A function takes one argument, ``serve.Ask``, and returns JSON data and a dict of arrays. Its module is loaded at
    the first call and stays, so that a model that it keeps is loaded once. One call at a time; others wait.
    The process ends with the block, and with the kit however that ends.
    """

    def __init__(self, environment: Environment, script: Path) -> None:
        self._environment = environment
        self._script = script
        self._turn = threading.Lock()
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Worker:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with deferred():
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._stack.close()

    def call(
        self,
        function: str,
        data: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Any] | None = None,
        *,
        streams: Streams | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Answer:
        """Call a function of the script and return what it returns.

        ``streams`` are sequences of arrays by name that the function may go through, as often as it likes. ``tell``
        gets its progress. Raises ``ScriptError`` where it raises, ``WorkerDiedError`` and ``OutOfMemoryError`` where
        its process ends, ``WireError`` for arrays that cannot be sent; and what a stream raises.
        """
        with self._turn, self._survived():
            wire.send(self._requests, {"call": function, "data": dict(data or {})}, arrays)
            return self._answer(_Streams(self._requests, streams or {}), tell)

    def _answer(self, streams: _Streams, tell: Callable[[str], None]) -> Answer:
        while (message := wire.receive(self._replies)) is not None:
            header, arrays = message
            if "done" in header:
                return Answer(data=header["done"], arrays=arrays)
            if "failed" in header:
                raise self._failure(header, streams)
            if "tell" in header:
                tell(header["tell"])
            else:
                streams.serve(header)
        raise EOFError

    def _failure(self, header: Mapping[str, Any], streams: _Streams) -> BaseException:
        if streams.error is not None:
            return streams.error
        if header["failed"] == "MemoryError":
            return OutOfMemoryError(f"{self._environment.purpose}: not enough memory; use smaller inputs or batches")
        return ScriptError(header["failed"], header["message"])

    @contextmanager
    def _survived(self) -> Iterator[None]:
        """Tell what became of the process where its pipes end."""
        try:
            yield
        except (EOFError, BrokenPipeError, wire.CutShortError) as error:
            raise self._died() from error

    def _died(self) -> KitError:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code, name = self._process.returncode, self._environment.purpose
        if code == -signal.SIGKILL:
            return OutOfMemoryError(
                f"the process that ran {name} was killed, as the system does where memory runs out; close other "
                "programs, or use smaller inputs or fewer pictures"
            )
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = signal.strsignal(-code) or f"signal {-code}"
        return WorkerDiedError(f"the process that ran {name} ended by itself ({how}): {self._last_words()}")

    def _last_words(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _TAIL_BYTES))
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"

    def _start(self) -> None:
        self._stack.enter_context(in_use())
        log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the stack)
        self._log: IO[bytes] = self._stack.enter_context(log)
        inward, self._requests = self._pipe()
        self._replies, outward = self._pipe(reading=True)
        environment = self._environment
        try:
            self._process = subprocess.Popen(
                [environment.python, "-I", _PROGRAM, self._script, str(inward), str(outward)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(inward, outward),
                start_new_session=True,  # Ctrl-C in a terminal reaches the kit only, and the kit decides
            )
        except OSError as error:
            raise ToolEnvironmentError(
                f"{environment.python} cannot be run: {error.strerror}; make {environment.purpose} anew: "
                "kit cache --clear --environments"
            ) from error
        finally:
            os.close(inward)
            os.close(outward)

    def _pipe(self, *, reading: bool = False) -> Any:
        """Return a pipe, our end of which is a stream that is closed at the end; the other is a descriptor."""
        read, write = os.pipe()
        if reading:
            return self._stack.enter_context(os.fdopen(read, "rb")), write
        stream = self._stack.enter_context(_Closing(os.fdopen(write, "wb")))
        return read, stream


class _Closing:
    """A stream whose close may find nobody reading."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __enter__(self) -> IO[bytes]:
        return self._stream

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._stream.close()


class _Streams:
    """Gives a script the arrays that it asks for, and keeps what went wrong while they were made."""

    def __init__(self, requests: IO[bytes], made: Streams) -> None:
        self._requests = requests
        self._made = made
        self._begun: dict[str, Iterator[Mapping[str, Any]]] = {}
        self.error: BaseException | None = None

    def serve(self, header: Mapping[str, str]) -> None:
        """Answer one message about a stream."""
        try:
            if "begin" in header:
                self._begun[header["begin"]] = iter(self._made[header["begin"]]())
                return
            item = next(self._begun[header["next"]], None)
        except Exception as error:  # noqa: BLE001 (it is raised where the call was made)
            self.error = error
            wire.send(self._requests, {"item": "failed", "message": "a picture could not be read"})
            return
        wire.send(self._requests, {"item": "end" if item is None else "one"}, item)


@contextmanager
def in_use() -> Iterator[None]:
    """Let nobody clear the environments meanwhile; several may use them at a time."""
    with cache_translated():
        making.place().mkdir(parents=True, exist_ok=True)
        descriptor = os.open(making.place() / _IN_USE, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unused() -> Iterator[None]:
    """Let nobody begin to use them. Raises ``RepositoryBusyError`` where somebody does."""
    if not making.place().is_dir():
        yield
        return
    with disk.unused(making.place() / _IN_USE, "an environment"):
        yield
