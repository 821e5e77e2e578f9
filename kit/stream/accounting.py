"""Every frame that was captured is emitted, dropped for a cause, or still on its way: nothing else can become of it."""

from __future__ import annotations

import enum
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Cause(enum.Enum):
    """Why a frame gave no result."""

    SUPERSEDED = "superseded"
    """A newer one came before anybody took it."""
    STALE = "stale"
    """It was older than the freshness budget, or showed what had been shown."""
    IN_FLIGHT = "in_flight"
    """As many requests as are allowed were under way."""
    DECODE_ERROR = "decode_error"
    """The decoder could not make a picture of it."""
    DEADLINE = "deadline"
    """It was sent, and no answer came in time."""
    SERVER_ERROR = "server_error"
    """The server refused it, failed or was not there."""
    SHUTDOWN = "shutdown"
    """The program ended before its turn."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts of frames at one moment: ``captured == emitted + dropped + pending``, always."""

    captured: int
    emitted: int
    dropped: Mapping[Cause, int]
    pending: int
    """In the slot, or with the server."""

    def __str__(self) -> str:
        causes = ", ".join(f"{count} {cause.value}" for cause, count in self.dropped.items() if count)
        dropped = f"{sum(self.dropped.values())} dropped" + (f" ({causes})" if causes else "")
        return f"{self.captured} captured = {self.emitted} emitted + {dropped} + {self.pending} pending"


class Accounting:
    """Counts one camera's frames; safe to use from any thread.

    A frame's number is its ticket: it is given out by ``capture`` and handed in once, by ``emit`` or ``drop``. Handing
    in one that is not out is a mistake in the program and raises ``ValueError``, so the sum cannot go wrong unseen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._captured = 0
        self._emitted = 0
        self._dropped = dict.fromkeys(Cause, 0)
        self._pending: set[int] = set()

    def capture(self) -> int:
        """Count a frame that left the decoder, or should have; return its number, from 0."""
        with self._lock:
            number = self._captured
            self._captured += 1
            self._pending.add(number)
            return number

    def emit(self, number: int) -> None:
        """Count a frame whose result was handed out."""
        with self._lock:
            self._hand_in(number)
            self._emitted += 1

    def drop(self, number: int, cause: Cause) -> None:
        """Count a frame that gives no result."""
        with self._lock:
            self._hand_in(number)
            self._dropped[cause] += 1

    def drop_pending(self, cause: Cause) -> int:
        """Drop whatever is still on its way, at the end; return how many."""
        with self._lock:
            count = len(self._pending)
            self._pending.clear()
            self._dropped[cause] += count
            return count

    def totals(self) -> Totals:
        """Return the counts of this moment."""
        with self._lock:
            return Totals(
                captured=self._captured,
                emitted=self._emitted,
                dropped=MappingProxyType(dict(self._dropped)),
                pending=len(self._pending),
            )

    def _hand_in(self, number: int) -> None:
        if number not in self._pending:
            raise ValueError(f"frame {number} was not captured, or is accounted for already")
        self._pending.remove(number)
