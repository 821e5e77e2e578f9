"""Ctrl-C and SIGTERM as a wish to end: the first is heeded when it is convenient, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def by_signals() -> Iterator[threading.Event]:
    """Yield an event that the first signal sets; the second raises ``KeyboardInterrupt``. In the main thread only."""
    stop = threading.Event()

    def heed(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    # A shell starts background jobs with SIGINT ignored: it is set here, whatever it was.
    before = {number: signal.signal(number, heed) for number in NUMBERS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
