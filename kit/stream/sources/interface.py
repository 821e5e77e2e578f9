"""What a source of frames does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.stream.uri import CameraUri

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Image: TypeAlias = "npt.NDArray[np.uint8]"
"""``[H, W, 3]``, RGB."""


class DecodeError(Exception):
    """One picture could not be decoded; the next one may be."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What the decoder gave. It becomes an image only when somebody wants it: most pictures are superseded before."""

    pts_s: float | None
    image: Callable[[], Image]
    """Converts to RGB; called once at most, from any thread. Raises ``DecodeError``."""
    captured_ns: int = field(default_factory=time.monotonic_ns)
    wall_s: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option in a URI: the values that it takes as a regular expression, and examples for messages."""

    name: str
    pattern: str
    examples: tuple[str, ...]


class Reader(Protocol):
    """An open source; used by one thread only, which may block for as long as it has to."""

    def read(self) -> Picture | None:
        """Return the next picture, or None at the end of what has an end.

        Raises ``DecodeError`` for a picture that is lost and ``CameraError`` where nothing more will come.
        """

    def close(self) -> None:
        """Let go of the device, file or connection."""


@runtime_checkable
class Source(Protocol):
    """A kind of source."""

    name: str
    schemes: tuple[str, ...]
    """In lower case, without the colon."""
    forms: tuple[str, ...]
    """Examples of its URIs for messages, the simplest first."""
    options: tuple[Option, ...]

    def parse(self, text: str) -> CameraUri:
        """Take ``text`` apart; it begins with one of ``schemes``. Raises ``CameraUriError``, imports nothing heavy."""

    def guess(self, text: str) -> str | None:
        """Return the URI that somebody means who wrote ``text`` without a scheme, or None if it is not of this kind."""

    def live(self, uri: CameraUri) -> bool:
        """Whether it goes on by itself, so that silence is a failure and so is its end."""

    def waits(self, uri: CameraUri) -> bool:
        """Whether it gives the next picture only after the last one was taken, so that none is superseded."""

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Connect. ``timeout_s`` bounds each wait for the network; ``halt`` ends waits of the source's own.

        Raises ``CameraError``.
        """
