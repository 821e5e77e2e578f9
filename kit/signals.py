"""What must not be broken off in the middle: Ctrl-C inside a clean-up, or a library being loaded, waits for its end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from types import ModuleType
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


class WholeLibraries:
    """Finds modules as Python does; those of C and C++ are made whole before a signal is heard.

    An interruption inside their making ends as they see fit: pybind11 (onnxsim) and msgspec swallow it, onnxruntime
    and numpy say that numpy is broken, PyAV and onnx crash the process.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return what Python's own finder of files finds, with a loader that is not broken off."""
        found = PathFinder.find_spec(name, path, target)
        if found is not None and type(found.loader) is ExtensionFileLoader:
            found.loader = _Whole(found.loader.name, found.loader.path)
        return found


class _Whole(ExtensionFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        with deferred():
            return super().create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with deferred():
            super().exec_module(module)


@contextmanager
def libraries_whole() -> Iterator[None]:
    """Make each native library that is imported in this block whole, whatever signal comes meanwhile."""
    finder: Any = WholeLibraries
    place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
    sys.meta_path.insert(place, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
