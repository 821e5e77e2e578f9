"""What libraries print, kept off the terminal and out of ``--json``."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

from kit.signals import deferred

_DESCRIPTORS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class _Before:
    """Where output went. ``descriptors`` are those that are elsewhere now, with a copy of what they were."""

    stdout: TextIO
    stderr: TextIO
    descriptors: dict[int, int] = field(default_factory=dict)


@contextmanager
def silenced() -> Iterator[None]:
    """Send what is printed nowhere while the block lasts: to Python's streams, and past them to descriptors 1 and 2.

    onnxsim reports there, in the colours of its ONNX Runtime, what it then raises or does without. Streams and
    descriptors are the process's: use it around the calls of a library only, and not in two threads at once.
    """
    before = _Before(stdout=sys.stdout, stderr=sys.stderr)
    try:
        with deferred():  # Ctrl-C has something to say, and finds the way to the terminal closed or open, not between
            _silence(before)
        yield
    finally:
        try:
            with deferred():
                _put_back(before)
        finally:
            _put_back(before)  # where Ctrl-C came just before it was held back


def _silence(before: _Before) -> None:
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in _DESCRIPTORS:
        with suppress(OSError):  # one that was closed by whoever started us
            before.descriptors[descriptor] = os.dup(descriptor)
            os.dup2(nothing, descriptor)
    os.close(nothing)


def _put_back(before: _Before) -> None:
    """Undo ``_silence``; what is undone already stays so."""
    sys.stdout, sys.stderr = before.stdout, before.stderr
    if before.descriptors:
        ctypes.CDLL(None).fflush(None)  # what C still holds is the library's too
    while before.descriptors:
        descriptor, copy = before.descriptors.popitem()
        os.dup2(copy, descriptor)
        os.close(copy)
