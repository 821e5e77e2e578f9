"""What is done with results: a kind of sink is opened once for a run, and then used by one thread only."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from kit.stream.accounting import Cause
from kit.stream.results import Result
from kit.stream.snapshot import Snapshot

Target: TypeAlias = "str | Callable[[Emission], object]"
"""Where a sink writes to: a file, a port; or what it calls."""


@dataclass(frozen=True, kw_only=True)
class Emission:
    """A result on its way out."""

    result: Result
    labels: tuple[str, ...]
    """Names of the model's classes, from class 0 on; may be shorter than the model's list."""
    dropped: Mapping[Cause, int]
    """Frames of this camera that were dropped until now."""
    fps: float
    """Results of this camera a second."""

    @property
    def age_ms(self) -> float:
        """How old the frame was when its result was emitted."""
        return (self.result.emitted_ns - self.result.frame.captured_ns) / 1e6


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that a person wants to read once, in one line. ``bad`` is what is to be told in any case."""

    text: str
    bad: bool = False


class Takes(enum.Enum):
    """What a user says to get a sink of this kind."""

    NOTHING = "nothing"
    FOLDER = "folder"
    OUTPUT = "output"
    """Nothing on the command line, where it is standard output (``-``); in a configuration file, a file too."""
    FILE = "file"
    PORT = "port"
    PYTHON = "python"
    """A callable: not to be had from the command line."""
    LOUDNESS = "loudness"
    """Nothing: it is on in every run, and opened with one of ``LIVE``, ``PLAIN`` and ``ERRORS``."""


LIVE, PLAIN, ERRORS = "live", "plain", "errors"
"""How much to tell: a display that moves, lines, or only what is bad."""
STANDARD_OUTPUT = "-"


class SinkGoneError(Exception):
    """A sink that need not be tried again, with its reason."""

    def __init__(self, text: str, *, ends: bool = False, interrupted: bool = False) -> None:
        """Say whether it ``ends`` the whole run: the user closed its window, or nobody reads what is written.

        ``interrupted`` is the latter.
        """
        super().__init__(text)
        self.ends = ends
        self.interrupted = interrupted


class OpenSink(Protocol):
    """A sink at work. Whatever a method raises is told once and counted; the next result is another try.

    ``greeting`` is what a person should know at the start, as the address of a page; empty where there is nothing.
    """

    @property
    def greeting(self) -> str:
        """See the class."""

    def take(self, emission: Emission) -> None:
        """Do something with a result. Raises ``SinkGoneError`` where that will never work again."""

    def note(self, note: Note) -> None:
        """Tell of an event, if that is this sink's work."""

    def close(self, last: Snapshot) -> None:
        """Finish; ``last`` is what there is to tell at the end."""


@runtime_checkable
class Sink(Protocol):
    """A kind of sink.

    ``flag`` is the option of ``kit camera`` and ``key`` that of a configuration file; both are empty where there is
    none. ``help`` says in a sentence what is made. ``whole`` says that it wants every result; the
    others get the newest of each live camera.
    """

    name: str
    flag: str
    key: str
    takes: Takes
    help: str
    whole: bool

    def check(self, target: Target) -> None:
        """Raise ``UsageError`` where ``target`` is none of this kind; opens nothing, imports nothing heavy."""

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Open. ``watch`` tells how the run stands, at any time and in any thread.

        Raises ``KitError`` where it cannot be opened.
        """
