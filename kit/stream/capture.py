"""One camera's newest frame: connected, watched from outside, replaced and connected anew.

Threads: each connection has one that reads (``Attempt``); whoever watches calls ``tick``; consumers call ``take``.
Only the attempt that is current may write into the slot, so one that was left behind and wakes up does no harm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kit.errors import CameraLostError, CameraNotFoundError, CameraRefusedError, KitError
from kit.stream.accounting import Accounting, Cause
from kit.stream.backoff import Backoff
from kit.stream.events import Event, Kind
from kit.stream.reader import Attempt, Camera
from kit.stream.slot import Slot
from kit.stream.sources.interface import DecodeError, Picture
from kit.stream.types import Frame

_STABLE_S = 5.0
"""A connection that lasted this long ends the series of failures that the backoff counts."""
_MOST_LEFT = 3
_TRIED_AGAIN = (CameraLostError, CameraNotFoundError, CameraRefusedError)
"""What can be mended while the program runs; a wrong URI or a library that is not installed cannot."""
_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class _Held:
    number: int
    picture: Picture


@dataclass(frozen=True, kw_only=True)
class Status:
    """A camera at one moment, for tables and metrics."""

    connected: bool
    """Whether pictures come."""
    ended: bool
    connections: int
    """How often the first picture of a connection came."""
    replaced: int
    """How often a reader was left behind."""
    left_behind: int
    """How many readers that were left behind still hang."""
    age_s: float | None
    """Of the newest picture whose time advanced; None where none ever came."""
    reason: str
    """Why it is not connected; empty where it is, or was not tried yet."""


class Capture:
    """Captures one camera. ``changed`` is called, from any thread, when a frame came or an attempt is over."""

    def __init__(
        self,
        camera: Camera,
        *,
        changed: Callable[[], None],
        backoff: Backoff | None = None,
        superseded_by: Callable[[], Cause] = lambda: Cause.SUPERSEDED,
    ) -> None:
        self.camera = camera
        self.accounting = Accounting()
        self.failure: KitError | None = None
        """Why a source that is not tried again could not be read to its end."""
        self._changed = changed
        self._superseded_by = superseded_by
        self._live = camera.source.live(camera.uri)
        self._waits = camera.source.waits(camera.uri)
        self._slot: Slot[_Held] = Slot()
        self._lock = threading.Lock()
        self._backoff = backoff or Backoff()
        self._attempt: Attempt | None = None
        self._left: list[Attempt] = []
        self._due_ns = 0
        self._over = False
        self._stopped = False
        self._told = ""
        self._newest_ns: int | None = None
        self._announced = False
        self._connections = 0
        self._replaced = 0

    # What a consumer calls

    def take(self, timeout_s: float = 0.0, *, freshness_s: float | None = None) -> Frame | None:
        """Take the newest frame, after at most ``timeout_s``; None where none came, or none will.

        A frame that waited for longer than ``freshness_s`` (the camera's own budget by default) is dropped as stale;
        of a source that waits, none is. Conversion to RGB happens here, in the caller's thread. Whoever takes a frame
        hands its number in to ``accounting``, by ``emit`` or ``drop``.
        """
        limit_s = self.camera.freshness_s if freshness_s is None else freshness_s
        deadline = time.monotonic() + timeout_s
        while (held := self._slot.take(max(0.0, deadline - time.monotonic()))) is not None:
            picture = held.picture
            if not self._waits and time.monotonic_ns() - picture.captured_ns > limit_s * _NS:
                self.accounting.drop(held.number, Cause.STALE)
                continue
            try:
                image = picture.image()
            except DecodeError:
                self.accounting.drop(held.number, Cause.DECODE_ERROR)
                continue
            return Frame(
                camera=self.camera.name, number=held.number, image=image, pts_s=picture.pts_s,
                captured_ns=picture.captured_ns, wall_s=picture.wall_s,
            )  # fmt: skip
        return None

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more: the source ended or failed for good, or the capture was stopped."""
        return (self._over or self._stopped) and self._slot.empty

    @property
    def waiting(self) -> bool:
        """Whether a frame is there to be taken."""
        return not self._slot.empty

    @property
    def announced(self) -> bool:
        """Whether the current connection's first picture was told of."""
        return self._announced and self._attempt is not None and not self._attempt.over

    def status(self) -> Status:
        """Return what is known of the camera at this moment."""
        with self._lock:
            self._left = [attempt for attempt in self._left if attempt.alive]
            newest_ns = self._newest()
            connected = self._attempt is not None and self._attempt.newest_ns is not None
            return Status(
                connected=connected,
                ended=self._over or self._stopped,
                connections=self._connections,
                replaced=self._replaced,
                left_behind=len(self._left),
                age_s=None if newest_ns is None else (time.monotonic_ns() - newest_ns) / _NS,
                reason="" if connected else self._told,
            )

    # What the watch calls

    @property
    def due_ns(self) -> int | None:
        """When it wants to connect; None while it is connected, connecting or over."""
        return None if self._attempt is not None or self._over or self._stopped else self._due_ns

    def connecting_for_s(self, now_ns: int) -> float | None:
        """For how long it has waited for the first picture of a connection; None where it does not."""
        attempt = self._attempt
        if attempt is None or attempt.over or attempt.first_ns is not None:
            return None
        return (now_ns - attempt.begun_ns) / _NS

    def tick(self, now_ns: int, *, may_connect: bool, may_replace: bool = True) -> list[Event]:
        """Do what is due, without ever waiting; return what there is to tell."""
        with self._lock:
            if self._stopped or self._over:
                return []
            return list(self._step(now_ns, may_connect=may_connect, may_replace=may_replace))

    def stop(self) -> list[threading.Thread]:
        """Let nothing in any more, drop what is in the slot, and return the threads that are still to end."""
        with self._lock:
            self._stopped = True
            attempts = [*self._left, *([self._attempt] if self._attempt else [])]
            for attempt in attempts:
                attempt.halt.set()
            if (held := self._slot.close()) is not None:
                self.accounting.drop(held.number, Cause.SHUTDOWN)
        return [attempt.thread for attempt in attempts if attempt.thread is not None and attempt.alive]

    # What is behind a tick

    def _step(self, now_ns: int, *, may_connect: bool, may_replace: bool) -> Iterator[Event]:
        attempt = self._attempt
        if attempt is None:
            if may_connect and now_ns >= self._due_ns:
                yield from self._connect()
            return
        over = attempt.over  # read before the pictures: those that came before the end are told before it
        if attempt.first_ns is not None and not self._announced:
            yield self._connected(attempt.first_ns)
        if over:
            yield from self._finished(attempt)
        elif self._live and may_replace:
            yield from self._watched(attempt, now_ns)

    def _connect(self) -> Iterator[Event]:
        self._left = [attempt for attempt in self._left if attempt.alive]
        if len(self._left) >= _MOST_LEFT:
            yield from self._lost(f"{len(self._left)} readers hang in its driver or library; waiting for one to end")
            return
        self._announced = False
        self._attempt = Attempt(
            camera=self.camera, accept=self._accept, broken=self._broken, room=self._slot.wait_empty,
            changed=self._changed,
        )  # fmt: skip
        self._attempt.begin()

    def _connected(self, first_ns: int) -> Event:
        self._announced = True
        self._connections += 1
        self._told = ""
        outage_s = None if self._newest_ns is None else (first_ns - self._newest_ns) / _NS
        kind = Kind.CONNECTED if outage_s is None else Kind.RECOVERED
        return self._event(kind, outage_s=outage_s)

    def _finished(self, attempt: Attempt) -> Iterator[Event]:
        self._let_go(attempt)
        error = attempt.error
        if error is None:
            self._over = True
            yield self._event(Kind.ENDED)
        elif self._live and isinstance(error, _TRIED_AGAIN):
            yield from self._lost(str(error), permanent=error.permanent)
        else:
            self._over = True
            self.failure = error
            self._told = str(error)
            yield self._event(Kind.FAILED, str(error), permanent=True)

    def _watched(self, attempt: Attempt, now_ns: int) -> Iterator[Event]:
        since_ns = attempt.newest_ns or attempt.begun_ns
        silent_s = (now_ns - since_ns) / _NS
        if attempt.first_ns is not None and now_ns - attempt.first_ns > _STABLE_S * _NS:
            self._backoff.reset()
        if silent_s <= (self.camera.connect_s if attempt.newest_ns is None else self.camera.freshness_s):
            return
        attempt.halt.set()
        self._left.append(attempt)
        self._let_go(attempt)
        self._replaced += 1
        if attempt.newest_ns is None:
            yield from self._lost(f"{self.camera.uri} gave no picture within {self.camera.connect_s:g} s")
        else:
            yield from self._lost(f"no new picture for {silent_s:.1f} s", kind=Kind.REPLACED)

    def _let_go(self, attempt: Attempt) -> None:
        self._newest_ns = attempt.newest_ns or self._newest_ns
        self._attempt = None

    def _lost(self, reason: str, *, permanent: bool = False, kind: Kind = Kind.LOST) -> Iterator[Event]:
        """Plan another try; tell the reason unless it is the one that was told last."""
        self._due_ns = time.monotonic_ns() + int(self._backoff.next_s(permanent=permanent) * _NS)
        if reason != self._told:
            self._told = reason
            yield self._event(kind, reason, permanent=permanent)

    def _event(self, kind: Kind, reason: str = "", *, permanent: bool = False, outage_s: float | None = None) -> Event:
        return Event(camera=self.camera.name, kind=kind, reason=reason, permanent=permanent, outage_s=outage_s)

    def _newest(self) -> int | None:
        return (self._attempt.newest_ns if self._attempt else None) or self._newest_ns

    # What a reader's thread calls

    def _accept(self, attempt: Attempt, picture: Picture) -> None:
        with self._lock:
            number = self.accounting.capture()
            cause = self._refusal(attempt, picture)
            if cause is not None:
                self.accounting.drop(number, cause)
                return
            attempt.newest_ns = picture.captured_ns
            attempt.first_ns = attempt.first_ns or picture.captured_ns
            superseded = self._slot.put(_Held(number=number, picture=picture))
            if superseded is not None:
                self.accounting.drop(superseded.number, self._superseded_by())
        self._changed()

    def _refusal(self, attempt: Attempt, picture: Picture) -> Cause | None:
        if self._stopped:
            return Cause.SHUTDOWN
        if attempt is not self._attempt or not attempt.liveness.advances(picture.pts_s):
            return Cause.STALE
        return None

    def _broken(self, attempt: Attempt) -> None:  # noqa: ARG002 (a lost picture is one, whoever reads)
        self.accounting.drop(self.accounting.capture(), Cause.DECODE_ERROR)
