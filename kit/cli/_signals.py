"""Ctrl-C and SIGTERM at any moment, also while a library is half imported: one line, and the exit code of a shell."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from kit.signals import libraries_whole

_SOON_S = 0.01


@contextmanager
def watched(is_told: Callable[[BaseException], bool]) -> Iterator[Callable[[BaseException], int | None]]:
    """Let SIGTERM end a command as Ctrl-C does; yield what tells the signal that an error came of, if any.

    ``kit serve`` puts its own handlers in their place while it serves: what it says itself after a signal counts.
    What the caller ignores stays ignored. ``is_told`` tells errors that have a message of their own.
    """
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():  # only that one may
        yield lambda _: None
        return
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    ours = [n for n, handler in before.items() if handler in (signal.default_int_handler, signal.SIG_DFL)]

    def ignore() -> None:
        for number in ours:
            signal.signal(number, signal.SIG_IGN)

    try:
        with _arrivals() as arrived, _quiet_after(arrived), libraries_whole():

            def number_of(error: BaseException) -> int | None:
                ignore()  # it has ended: a second signal would only cut its last words
                return next(iter(came or ([] if is_told(error) else arrived())), None)

            for number in ours:
                signal.signal(number, interrupt)
            try:
                yield number_of
            finally:
                ignore()
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextmanager
def _arrivals() -> Iterator[Callable[[], list[int]]]:
    """Yield what returns the numbers of the signals that came, whoever has handled them."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    numbers: list[int] = []

    def read() -> list[int]:
        with suppress(BlockingIOError):
            numbers.extend(n for n in os.read(reader, 4096) if n in (signal.SIGINT, signal.SIGTERM))
        return numbers

    try:
        yield read
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


@contextmanager
def _quiet_after(arrived: Callable[[], list[int]]) -> Iterator[None]:
    """Let nobody print an error once a signal came: numpy prints the interruption of its import itself, in C.

    An interruption that arose where Python drops errors (a weak reference's callback) is raised again.
    """
    before, dropped = sys.excepthook, sys.unraisablehook
    timers: list[threading.Timer] = []

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not arrived():
            before(kind, error, trace)

    def again(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            # Not from here: what a hook raises is dropped as well.
            timers.append(threading.Timer(_SOON_S, _thread.interrupt_main))
            timers[-1].start()
        elif not arrived():
            dropped(lost)

    sys.excepthook, sys.unraisablehook = hook, again
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        sys.excepthook, sys.unraisablehook = before, dropped
