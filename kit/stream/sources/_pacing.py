"""Recorded pictures at the pace at which they were taken."""

from __future__ import annotations

import threading
import time


class Pace:
    """Waits until a picture is due. Late ones are not waited for, and do not make later ones late."""

    def __init__(self, halt: threading.Event) -> None:
        self._halt = halt
        self._start_s: float | None = None

    def wait(self, pts_s: float) -> None:
        """Return when ``pts_s`` after the first picture's time has come, or when halted."""
        now = time.monotonic()
        if self._start_s is None:
            self._start_s = now - pts_s
        if (left := self._start_s + pts_s - now) > 0:
            self._halt.wait(left)
