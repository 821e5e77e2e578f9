"""Lines for a person on standard output: what was found in each frame, and where."""

from __future__ import annotations

import sys
from collections.abc import Callable

from kit.errors import UsageError
from kit.stream import words
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


class Text:
    """A line for each thing found: camera, frame, name, confidence, box."""

    name = "text"
    flag = "--print"
    key = "print"
    takes = Takes.OUTPUT
    help = "Print what is found in each frame: name, confidence, box (x1, y1, x2, y2 in pixels)."
    whole = True

    def check(self, target: Target) -> None:
        """Take standard output only."""
        if target != STANDARD_OUTPUT:
            raise UsageError(f'print: goes to standard output, "{STANDARD_OUTPUT}", not to {target}')

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Write to standard output."""
        return Printer()


class Printer:
    """Prints."""

    greeting = ""

    def take(self, emission: Emission) -> None:
        """Print a frame's lines."""
        result = emission.result
        found = list(words.rows(result.output, emission.labels)) or [f"{'nothing':>12s}"]
        heads = [f"{result.frame.camera} {result.frame.number}", *[""] * len(found)]
        text = "".join(f"{head:20s} {line}\n" for head, line in zip(heads, found, strict=False))
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise SinkGoneError("nobody reads what is printed any more", ends=True, interrupted=True) from error

    def note(self, note: Note) -> None:
        """Tell nothing: events go to standard error."""

    def close(self, last: Snapshot) -> None:
        """Nothing is open."""


MEMBER = Text()
