"""What became of every frame that was submitted, and what is still on its way: safe to use from any thread.

``submitted == emitted + sum(dropped) + waiting + in_flight`` at any moment.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

from kit.stream.accounting import Cause
from kit.stream.results import Counts
from kit.stream.turns import Turns
from kit.stream.types import Frame


class Ledger:
    """The turns and the counts under one lock; ``changed`` is told of every change, and may be waited for."""

    def __init__(self, *, per_camera: int, overall: int, freshness_s: float) -> None:
        self.changed = threading.Condition()
        self.closed = False
        """Whether nothing more is let in."""
        self.ended = False
        """Whether nothing more is sent, either."""
        self._turns = Turns(per_camera=per_camera, overall=overall)
        self._freshness_ns = int(freshness_s * 1e9)
        self._submitted, self._emitted, self._dropped = 0, 0, Counter[Cause]()

    def put(self, frame: Frame, cause: Cause) -> Frame | None:
        """Let a frame wait; return the one whose place it takes, which is dropped for ``cause``."""
        with self.changed:
            self._submitted += 1
            lost = frame if self.closed else self._turns.put(frame)
            if lost is not None:
                self._dropped[Cause.SHUTDOWN if self.closed else cause] += 1
            self.changed.notify_all()
            return lost

    def put_back(self, frame: Frame) -> bool:
        """Let a frame that was sent in vain wait again; False where it is too old or a newer one waits."""
        with self.changed:
            if self.ended or self.left_s(frame) <= 0 or not self._turns.put_back(frame):
                return False
            self._turns.done(frame.camera)
            self.changed.notify_all()
            return True

    def take(self) -> Frame | None:
        """Return the frame whose turn it is, which is under way from now on."""
        with self.changed:
            frame = self._turns.take()
            if frame is not None:
                self.changed.notify_all()
            return frame

    def stale(self) -> list[Frame]:
        """Drop the waiting frames that have become too old, and return them."""
        with self.changed:
            frames = self._turns.captured_before(time.monotonic_ns() - self._freshness_ns)
            self._dropped[Cause.STALE] += len(frames)
            if frames:
                self.changed.notify_all()
            return frames

    def over(self, frame: Frame, cause: Cause | None) -> None:
        """Count a frame that was under way: emitted, or dropped for a cause."""
        with self.changed:
            self._turns.done(frame.camera)
            if cause is None:
                self._emitted += 1
            else:
                self._dropped[cause] += 1
            self.changed.notify_all()

    def close(self) -> None:
        """Let nothing in any more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def end(self) -> list[Frame]:
        """Drop what still waits, and return it."""
        with self.changed:
            self.closed = self.ended = True
            frames = self._turns.clear()
            self._dropped[Cause.SHUTDOWN] += len(frames)
            self.changed.notify_all()
            return frames

    def full(self, camera: str) -> bool:
        """Return whether a frame of this camera has to wait for an answer."""
        with self.changed:
            return self._turns.full(camera)

    def waits(self, camera: str) -> bool:
        """Return whether a frame of this camera waits."""
        with self.changed:
            return self._turns.waits(camera)

    def left_s(self, frame: Frame) -> float:
        """Return how long a frame stays fresh, in seconds; not above 0 where it is no more."""
        return (self._freshness_ns - (time.monotonic_ns() - frame.captured_ns)) / 1e9

    def until_stale_s(self) -> float | None:
        """Return when the oldest waiting frame becomes too old, in seconds from now; None where none waits."""
        with self.changed:
            oldest_ns = self._turns.oldest_ns()
        return None if oldest_ns is None else (oldest_ns + self._freshness_ns - time.monotonic_ns()) / 1e9 + 0.001

    @property
    def waiting(self) -> int:
        """How many frames wait."""
        return self._turns.waiting

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return self._turns.under_way

    @property
    def counts(self) -> Counts:
        """The counts of this moment."""
        with self.changed:
            return Counts(
                submitted=self._submitted,
                emitted=self._emitted,
                waiting=self._turns.waiting,
                in_flight=self._turns.under_way,
                dropped={cause: count for cause, count in self._dropped.items() if count},
            )
