"""Between cameras and a model: a frame leaves its camera's slot when it would be sent at once: the newest, that is.

Until then it is no more than what the decoder gave: what is superseded is never converted to RGB.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from kit.stream.accounting import Cause
from kit.stream.capture import Capture
from kit.stream.requests import Dispatcher
from kit.stream.types import Frame

_LOOK_S = 0.1
_LOG = logging.getLogger("kit.stream")


class Pump:
    """Serves the cameras of one model in turn, in a thread of its own; ``on_frame`` is told what is submitted next."""

    def __init__(
        self,
        captures: Mapping[str, Capture],
        dispatcher: Dispatcher,
        *,
        budget_s: float,
        on_frame: Callable[[Frame], None] = lambda _: None,
    ) -> None:
        self._captures = dict(captures)
        self._dispatcher = dispatcher
        self._budget_s = budget_s
        self._on_frame = on_frame
        self._order = list(captures)
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera-pump", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Take no more frames."""
        self._halt.set()
        self._dispatcher.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._halt.is_set():
            name = self._due()
            if name is None:
                self._dispatcher.wait_for(lambda: self._halt.is_set() or self._due() is not None, _LOOK_S)
                continue
            self._order.remove(name)
            self._order.append(name)
            try:
                self._move(self._captures[name])
            except Exception:  # noqa: BLE001 (a frame that nobody foresaw is lost, and no more)
                _LOG.exception("a frame of %s was lost", name)

    def _due(self) -> str | None:
        for name in self._order:
            if self._captures[name].waiting and self._dispatcher.has_room(name):
                return name
        return None

    def _move(self, capture: Capture) -> None:
        frame = capture.take(freshness_s=self._budget_s)
        if frame is None:
            return
        try:
            self._on_frame(frame)
            self._dispatcher.submit(frame)
        except ValueError:  # no [H, W, 3] picture
            capture.accounting.drop(frame.number, Cause.DECODE_ERROR)
