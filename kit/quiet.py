"""What native libraries print past Python's own streams, kept off the terminal and out of ``--json``."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_STREAMS = (1, 2)


@contextmanager
def native_output() -> Iterator[None]:
    """Send what is written to descriptors 1 and 2 nowhere while the block lasts; Python's own streams too.

    onnxsim reports there, in the colours of its ONNX Runtime, what it then raises or does without. The descriptors
    are the process's: use it around native calls only, and not in two threads at once.
    """
    kept = {}
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in _STREAMS:
            with suppress(OSError):  # one that was closed by whoever started us
                kept[stream] = os.dup(stream)
                os.dup2(nothing, stream)
        yield
    finally:
        try:
            ctypes.CDLL(None).fflush(None)  # what C still holds is theirs too
        finally:  # also where Ctrl-C came just now: it has something to say
            for stream, before in kept.items():
                os.dup2(before, stream)
                os.close(before)
            os.close(nothing)
