"""What must not be broken off in the middle: a second Ctrl-C inside a clean-up waits for its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)
"""The signals that end ``kit serve``."""


@contextmanager
def deferred() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM until the block has ended; then the last one that came is raised.

    An exception between ``os.close`` and the note that it was called makes ``shutil.rmtree`` close a
    descriptor twice. Only the main thread gets signals, and only it may set what they do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in NUMBERS:
            before[number] = signal.getsignal(number)
            if before[number] is not None:  # one that was not set by Python could not be put back
                signal.signal(number, lambda which, _: came.append(which))
        yield
    finally:
        try:
            _put_back(before)
        finally:
            _put_back(before)  # all of them, where a signal came when one was in its place again
        if came:
            signal.raise_signal(came[-1])


def _put_back(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        if handler is not None:
            signal.signal(number, handler)
