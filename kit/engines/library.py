"""TensorRT's Python library in a process of its own: the user's, or TensorRT-RTX in the kit's environment.

What crashes or waits in native code takes only that process along.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit import environments
from kit.engines import failures
from kit.environments import Answer, Environment, ScriptError, Worker

SCRIPT = Path(__file__).with_name("script.py")
RTX = "tensorrt_rtx"
"""The name of the environment with TensorRT-RTX."""

RTX_TOOL = f"{RTX}/tensorrt-rtx-cu13-libs"
"""What a result that TensorRT-RTX gave depends on, for a cache's key."""


class Library:
    """Calls functions of ``script.py``."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def call(self, function: str, data: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> Answer:
        """Call a function. Raises ``EngineBuildError``, ``OutOfMemoryError``, ``WorkerDiedError``."""
        try:
            return self._worker.call(function, data, arrays)
        except ScriptError as error:
            raise failures.error((str(error),)) from error


def own() -> Environment:
    """Return the Python that the kit runs in, as an environment: a device's TensorRT is installed there."""
    return Environment(name="own", purpose="TensorRT", root=Path(sys.prefix), python=Path(sys.executable), digest="")


def rtx(announce: Callable[[str], None]) -> Environment:
    """Return the environment with TensorRT-RTX, made now if need be. Raises as ``environments.ensure`` does."""
    return environments.ensure(RTX, announce)


@contextmanager
def running(environment: Environment) -> Iterator[Library]:
    """Start the process for the length of a ``with`` block."""
    with Worker(environment, SCRIPT) as worker:
        yield Library(worker)
