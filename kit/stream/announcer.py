"""Events are told once: a server that is away is one line, not one for each frame."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from kit.stream.results import Change, ServerEvent

_LOG = logging.getLogger("kit.stream")
_AGAIN_S = 60.0


class Announcer:
    """Hands events on, and the same one not again within a minute; safe to use from any thread."""

    def __init__(self, on_event: Callable[[ServerEvent], None]) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self._said, self._said_s = "", 0.0
        self.trouble = ""
        """What keeps frames from being sent at the moment, for the reason of their loss."""

    def say(self, change: Change, text: str) -> None:
        """Tell that something changed."""
        now_s = time.monotonic()
        with self._lock:
            self.trouble = "" if change is Change.READY else text
            if text == self._said and now_s < self._said_s + _AGAIN_S:
                return
            self._said, self._said_s = text, now_s
        self.note(change, text)

    def note(self, change: Change, text: str) -> None:
        """Tell something that keeps no frame from being sent."""
        try:
            self._on_event(ServerEvent(change=change, text=text))
        except Exception:  # noqa: BLE001 (whoever listens, the camera goes on)
            _LOG.exception("nobody took: %s", text)
