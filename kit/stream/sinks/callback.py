"""A Python function that is called with each result, or, where it is slow, with the newest of each live camera."""

from __future__ import annotations

from collections.abc import Callable

from kit.errors import UsageError
from kit.stream.sinks.interface import Emission, Note, OpenSink, Takes, Target
from kit.stream.snapshot import Snapshot


class Callback:
    """Calls it in a thread of its own; while it works, the newest result of each live camera waits."""

    name = "callback"
    flag = ""
    key = ""
    takes = Takes.PYTHON
    help = "Call a Python function with each result."
    whole = False

    def check(self, target: Target) -> None:
        """Take whatever can be called."""
        if not callable(target):
            raise UsageError(f"on_detections is a function, not {target!r}")

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Keep the function."""
        assert callable(target)
        return Caller(target)


class Caller:
    """Calls."""

    greeting = ""

    def __init__(self, function: Callable[[Emission], object]) -> None:
        self._function = function

    def take(self, emission: Emission) -> None:
        """Call the function."""
        self._function(emission)

    def note(self, note: Note) -> None:
        """Tell nothing."""

    def close(self, last: Snapshot) -> None:
        """Nothing is open."""


MEMBER = Callback()
