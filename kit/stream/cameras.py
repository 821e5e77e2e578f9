"""Many cameras in one process: one thread watches them all, and connects only a few at a time."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType

from kit.errors import UsageError
from kit.stream.accounting import Cause
from kit.stream.capture import Capture
from kit.stream.events import Event, log_event
from kit.stream.reader import Camera
from kit.stream.types import Frame

MOST_CONNECTING = 4
_SLOW_S = 2.0
"""A connection that takes longer no longer counts as a simultaneous one: the dead must not hold up the others."""
_INTERVAL_S = 0.05
_LATE_S = 0.5
"""A watch that wakes this much too late has slept with the whole process: its readers get as long to catch up."""
_STOP_S = 2.0
_LOG = logging.getLogger("kit.stream")


class Cameras:
    """Captures from all ``cameras`` while the ``with`` block runs.

    ``on_event`` is told of each event, ``on_frame`` the name of a camera that has a frame, both in threads of the
    capture: they are to return at once, and what they raise is logged and goes no further. ``cause_of`` tells why
    nobody took a camera's frame before a newer one came.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        *,
        on_event: Callable[[Event], None] = log_event,
        on_frame: Callable[[str], None] | None = None,
        cause_of: Callable[[str], Cause] = lambda _: Cause.SUPERSEDED,
        most_connecting: int = MOST_CONNECTING,
    ) -> None:
        _check_names(cameras)
        self._on_event = on_event
        self._on_frame = on_frame
        self._most_connecting = most_connecting
        self._captures = {
            camera.name: Capture(
                camera, changed=self._changed_by(camera.name), superseded_by=functools.partial(cause_of, camera.name)
            )
            for camera in cameras
        }
        self._wake = threading.Event()
        self._came = threading.Condition()
        self._stopping = threading.Event()
        self._ticked_ns = time.monotonic_ns()
        self._trusted_from_ns = 0
        self._watch = threading.Thread(target=self._watching, name="camera-watch", daemon=True)

    @property
    def captures(self) -> Mapping[str, Capture]:
        """The captures by their cameras' names."""
        return MappingProxyType(self._captures)

    def __enter__(self) -> Cameras:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to connect; return at once, whether any camera answers or not."""
        self._ticked_ns = time.monotonic_ns()
        self._watch.start()

    def stop(self, timeout_s: float = _STOP_S) -> bool:
        """Stop all captures within ``timeout_s``; return False where a thread hung in a native call and was left."""
        deadline = time.monotonic() + timeout_s
        self._stopping.set()
        self._wake.set()
        threads = [thread for capture in self._captures.values() for thread in capture.stop()]
        if self._watch.ident is not None:
            threads.append(self._watch)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        with self._came:
            self._came.notify_all()
        return not any(thread.is_alive() for thread in threads)

    @property
    def ended(self) -> bool:
        """Whether no camera will give a frame any more."""
        return all(capture.ended for capture in self._captures.values())

    def frames(self, timeout_s: float | None = None) -> Iterator[Frame]:
        """Yield frames of all cameras in turn until all have ended, or until none has come for ``timeout_s``.

        Whoever takes a frame accounts for it: ``captures[frame.camera].accounting.emit(frame.number)``.
        """
        newest = time.monotonic()
        while not self.ended:
            for capture in self._captures.values():
                if (frame := capture.take()) is not None:
                    yield frame
                    newest = time.monotonic()
            left_s = None if timeout_s is None else newest + timeout_s - time.monotonic()
            with self._came:
                if not self._came.wait_for(self._something, left_s):
                    return

    def _something(self) -> bool:
        return self.ended or any(capture.waiting for capture in self._captures.values())

    def _changed_by(self, name: str) -> Callable[[], None]:
        def changed() -> None:
            capture = self._captures[name]
            if not capture.announced:
                self._wake.set()  # the first picture, or the end: what is to be told is told at once
            with self._came:
                self._came.notify_all()
            if self._on_frame is not None and capture.waiting:
                _guarded(self._on_frame, name)

        return changed

    def _watching(self) -> None:
        while not self._stopping.is_set():
            self._tick()
            self._wake.wait(_INTERVAL_S)
            self._wake.clear()

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        may_replace = self._awake(now_ns)
        waits = [capture.connecting_for_s(now_ns) for capture in self._captures.values()]
        connecting = sum(1 for wait_s in waits if wait_s is not None and wait_s < _SLOW_S)
        # Whoever has waited longest connects first.
        for capture in sorted(self._captures.values(), key=lambda c: c.due_ns or 0):
            idle = capture.due_ns is not None
            events = capture.tick(now_ns, may_connect=connecting < self._most_connecting, may_replace=may_replace)
            connecting += idle and capture.due_ns is None and not capture.ended
            for event in events:
                _guarded(self._on_event, event)
            if capture.ended:
                with self._came:
                    self._came.notify_all()

    def _awake(self, now_ns: int) -> bool:
        """Return whether silence is the cameras': not while this process itself was stopped or starved."""
        if now_ns - self._ticked_ns > (_INTERVAL_S + _LATE_S) * 1e9:
            self._trusted_from_ns = now_ns + int(_LATE_S * 1e9)
        self._ticked_ns = now_ns
        return now_ns >= self._trusted_from_ns


def _guarded(callback: Callable[..., None], argument: object) -> None:
    try:
        callback(argument)
    except Exception:  # noqa: BLE001 (a failing callback is its author's; it is logged whole)
        _LOG.exception("a callback of the cameras failed; the cameras go on")


def _check_names(cameras: Sequence[Camera]) -> None:
    names = [camera.name for camera in cameras]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f'two cameras are named "{twice[0]}"; give each its own name')
