"""Errors of a backend as a client sees them: one line, without a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # exists in Triton's stub only


def one_line(message: object) -> str:
    """Return a message without line breaks."""
    return " ".join(str(message).split())


@contextmanager
def one_line_errors(worded: Callable[[Exception], str] = one_line) -> Iterator[None]:
    """Let whatever goes wrong while a model is loaded reach the client as the one line that ``worded`` gives."""
    try:
        yield
    except Exception as error:  # the boundary of a load: the runtimes' errors share no base class
        raise pb.TritonModelException(worded(error)) from None
