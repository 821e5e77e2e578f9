"""What runs a model to have its answers: one file per kind of model."""

from __future__ import annotations

from contextlib import AbstractContextManager

from kit import axis
from kit.errors import UsageError
from kit.runners.interface import Runner, Running


def names() -> tuple[str, ...]:
    """Return the runners' names."""
    return axis.names(__name__)


def get(name: str) -> Runner:
    """Return the runner of that name, which is one of ``names()``."""
    runner = axis.member(__name__, name)
    assert isinstance(runner, Runner)
    return runner


def resolve(reference: str) -> Runner:
    """Return the runner for a reference. Raises ``UsageError`` where none reads it."""
    for name in names():
        if get(name).reads(reference):
            return get(name)
    raise UsageError(f'"{reference}" is no model that can be run here; what can: {", ".join(names())}')


def open(reference: str, *, threads: int = 0) -> AbstractContextManager[Running]:  # noqa: A001 (runners.open reads well)
    """Load a model of any kind. Raises as ``Runner.open`` does, and ``UsageError`` where no runner reads it."""
    return resolve(reference).open(reference, threads=threads)
