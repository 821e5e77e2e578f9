"""Room for one: what is put in takes the place of what was there, so that whoever takes gets the newest."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds one item or none; safe to use from any thread.

    The only rule by which frames are dropped is that the slot is taken: a fact, where an estimated rate is a guess.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Put ``item`` in; return what it takes the place of, or ``item`` itself where the slot is closed."""
        with self._changed:
            if self._closed:
                return item
            superseded, self._item = self._item, item
            self._changed.notify_all()
            return superseded

    def take(self, timeout_s: float = 0.0) -> T | None:
        """Take out what is there, after at most ``timeout_s``; None where nothing came or the slot was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until somebody took what was there; False where nobody did within ``timeout_s``."""
        with self._changed:
            return self._changed.wait_for(lambda: self._item is None or self._closed, timeout_s)

    @property
    def empty(self) -> bool:
        """Whether nothing is there at this moment."""
        return self._item is None

    def close(self) -> T | None:
        """Let nothing in any more and wake who waits; return what was left."""
        with self._changed:
            self._closed = True
            item, self._item = self._item, None
            self._changed.notify_all()
            return item
