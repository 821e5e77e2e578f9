"""JSON lines on standard output or into a file: ``kit.stream.lines`` says what they hold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from kit.errors import NotWritableError, UsageError
from kit.stream.accounting import Cause
from kit.stream.sinks.interface import (
    STANDARD_OUTPUT,
    Emission,
    Note,
    OpenSink,
    SinkGoneError,
    Takes,
    Target,
)
from kit.stream.snapshot import Snapshot


class JsonLines:
    """One line for each result, and one at the end with each camera's totals."""

    name = "jsonlines"
    flag = "--json"
    key = "json"
    takes = Takes.OUTPUT
    help = "Print a JSON line for each result, and nothing else on standard output."
    whole = True

    def check(self, target: Target) -> None:
        """Take a file in a folder that exists, or ``-``."""
        if target != STANDARD_OUTPUT and not Path(str(target)).parent.is_dir():
            raise UsageError(f"json: {target}: there is no folder {Path(str(target)).parent}; make it first")

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Open the file; lines are added to what it holds."""
        if target == STANDARD_OUTPUT:
            return Writer(sys.stdout.buffer)
        try:
            return Writer(Path(str(target)).open("ab"))
        except OSError as error:
            raise NotWritableError(f"{target} cannot be written: {error.strerror}; choose another file") from error


class Writer:
    """Writes lines, each at once: whoever reads them wants them now."""

    greeting = ""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._before: dict[str, Mapping[Cause, int]] = {}

    def take(self, emission: Emission) -> None:
        """Write a result's line."""
        from kit.stream import lines

        camera = emission.result.frame.camera
        self._write(lines.result_line(emission, self._before.get(camera, {})))
        self._before[camera] = emission.dropped

    def note(self, note: Note) -> None:
        """Tell nothing: events go to standard error."""

    def close(self, last: Snapshot) -> None:
        """Write each camera's totals."""
        from kit.stream import lines

        for view in last.cameras:
            self._write(lines.end_line(view))
        if self._stream is not sys.stdout.buffer:
            self._stream.close()

    def _write(self, line: object) -> None:
        import msgspec

        try:
            self._stream.write(msgspec.json.encode(line) + b"\n")
            self._stream.flush()
        except BrokenPipeError as error:
            raise SinkGoneError("nobody reads the lines any more", ends=True, interrupted=True) from error


MEMBER = JsonLines()
