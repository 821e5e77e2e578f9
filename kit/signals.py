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
    before: list[Any] = [signal.signal(number, lambda which, _: came.append(which)) for number in NUMBERS]
    try:
        yield
    finally:
        for number, handler in zip(NUMBERS, before, strict=True):
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[-1])
