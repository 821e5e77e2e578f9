"""A sink at work in a thread of its own, behind a short queue: what it does, or fails to do, holds up no camera.

    offered == taken + missed + waiting

A failure is told once and counted. After it the sink is left alone for a moment, longer each time; then it gets the
next result. One that says itself that it is gone is left out.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from kit.errors import KitError
from kit.stream.sinks.interface import Emission, Note, OpenSink, SinkGoneError
from kit.stream.snapshot import SinkView, Snapshot

ROOM = 16
"""Results that may wait: half a second of a camera, and some megabytes for each."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LOG = logging.getLogger("kit.stream")


class Outlet:
    """Runs one sink. ``tell`` is called with what a person should read, ``ended`` where it wants the run to end.

    One that is not ``whole`` gets the newest result of each camera, except of sources that wait.
    """

    def __init__(
        self,
        name: str,
        sink: OpenSink,
        *,
        tell: Callable[[Note], None],
        ended: Callable[[SinkGoneError], None],
        whole: bool = True,
    ) -> None:
        self.name = name
        self._whole = whole
        self._sink = sink
        self._tell = tell
        self._ended = ended
        self._changed = threading.Condition()
        self._waiting: deque[Emission] = deque()
        self._notes: deque[Note] = deque()
        self._last: Snapshot | None = None
        self._taken = self._missed = self._errors = self._in_a_row = 0
        self._left_out = self._stuck = False
        self._not_before_s = 0.0
        self._said = ""
        self._thread = threading.Thread(target=self._work, name=f"sink-{name}", daemon=True)
        self._thread.start()

    def offer(self, emission: Emission, *, wait_s: float = 0.0) -> None:
        """Put a result into the queue; where it is full, after ``wait_s`` the oldest one is missed."""
        with self._changed:
            if self._left_out or self._last is not None:
                self._missed += 1
                return
            if wait_s and not self._stuck:
                self._stuck = not self._changed.wait_for(lambda: len(self._waiting) < ROOM or self._left_out, wait_s)
            if not self._whole and not wait_s:
                self._forget(emission.result.frame.camera)
            if len(self._waiting) >= ROOM:
                self._waiting.popleft()
                self._missed += 1
            self._waiting.append(emission)
            self._changed.notify_all()

    def note(self, note: Note) -> None:
        """Pass an event on."""
        with self._changed:
            self._notes.append(note)
            self._changed.notify_all()

    def view(self) -> SinkView:
        """Return its counts."""
        with self._changed:
            return SinkView(
                name=self.name, taken=self._taken, missed=self._missed, errors=self._errors, left_out=self._left_out
            )

    def drain(self, timeout_s: float) -> None:
        """Wait until what was offered is taken."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._left_out, timeout_s)

    def close(self, last: Snapshot, timeout_s: float) -> bool:
        """Finish within ``timeout_s``; False where the sink hung and was left."""
        with self._changed:
            self._last = last
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _forget(self, camera: str) -> None:
        """Miss what waits of a camera, which is no longer the newest; the lock is held."""
        kept = [waiting for waiting in self._waiting if waiting.result.frame.camera != camera]
        self._missed += len(self._waiting) - len(kept)
        self._waiting = deque(kept)

    # Its thread

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._notes or self._last is not None)
                note = self._notes.popleft() if self._notes else None
                emission = self._waiting[0] if self._waiting and note is None else None
                last = self._last
            if note is not None:
                self._try(functools.partial(self._sink.note, note))
            elif emission is not None:
                self._pass_on(emission)
            else:
                assert last is not None
                self._try(functools.partial(self._sink.close, last))
                return

    def _pass_on(self, emission: Emission) -> None:
        resting = time.monotonic() < self._not_before_s and self._last is None
        done = not resting and not self._left_out and self._try(functools.partial(self._sink.take, emission))
        if done:
            self._recovered()
        with self._changed:
            self._taken += done
            self._missed += not done
            self._stuck = False
            if self._waiting and self._waiting[0] is emission:
                self._waiting.popleft()
            else:  # it was taken for missed while the sink was at it
                self._missed -= 1
            self._changed.notify_all()

    def _try(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except SinkGoneError as gone:
            with self._changed:
                self._left_out = True
                self._changed.notify_all()
            if gone.ends:
                self._ended(gone)
            else:
                self._tell(Note(text=f"{self.name}: {gone}; it is left out from now on", bad=True))
            return False
        except Exception as error:  # noqa: BLE001 (whatever a sink raises, the cameras go on)
            self._failed(error)
            return False
        return True

    def _failed(self, error: Exception) -> None:
        with self._changed:
            self._errors += 1
            self._in_a_row += 1
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._in_a_row - 1, 10))
            self._not_before_s = time.monotonic() + pause_s
        expected = isinstance(error, (KitError, OSError))
        said = str(error) if expected else f"{type(error).__name__}: {error}"
        if said == self._said:
            return
        self._said = said
        if not expected:
            _LOG.debug("the sink %s failed", self.name, exc_info=error)
        self._tell(Note(text=f"{self.name} failed, and is tried again: {said}", bad=True))

    def _recovered(self) -> None:
        if self._in_a_row:
            self._in_a_row = 0
            self._said = ""
            self._tell(Note(text=f"{self.name} works again"))
