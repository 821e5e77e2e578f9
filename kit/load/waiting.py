"""Sleeping until a moment, to a tenth of a millisecond, while greenlets work.

gevent's own timers are those of epoll, which counts in whole milliseconds; Linux has timers that are files
(``man timerfd_create``), for which a greenlet can wait like for a socket.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from types import TracebackType

_ABSOLUTE = 1
_NONBLOCKING = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_LEAST_S = 20e-6


class Alarm:
    """A timer of the monotonic clock; where the system has none, gevent's sleep stands in. Use it in a ``with``."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        create = getattr(self._libc, "timerfd_create", None)
        self._file = create(time.CLOCK_MONOTONIC, _NONBLOCKING) if create is not None else -1

    def __enter__(self) -> Alarm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def wait_until(self, moment_s: float) -> None:
        """Let others work until a moment of ``time.monotonic``, and for one turn where that has passed."""
        import gevent

        left = moment_s - time.monotonic()
        if left <= _LEAST_S:
            gevent.sleep(0)
        elif self._file < 0:
            gevent.sleep(left)
        else:
            self._wait(moment_s)

    def _wait(self, moment_s: float) -> None:
        import gevent
        from gevent import socket

        whole = int(moment_s)
        setting = struct.pack("qqqq", 0, 0, whole, int((moment_s - whole) * 1e9))
        if self._libc.timerfd_settime(self._file, _ABSOLUTE, setting, None) != 0:
            gevent.sleep(max(0.0, moment_s - time.monotonic()))
            return
        socket.wait_read(self._file)
