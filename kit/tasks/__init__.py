"""What a model's outputs mean: one file per task."""

from __future__ import annotations

from kit import axis
from kit.errors import UnknownTaskError, suggestion
from kit.tasks.interface import Task


def names() -> tuple[str, ...]:
    """Return the tasks' names."""
    return axis.names(__name__)


def get(name: str) -> Task:
    """Return the task of that name. Raises ``UnknownTaskError``."""
    if name not in names():
        raise UnknownTaskError(f'unknown task "{name}"; {suggestion(name, names())}')
    task = axis.member(__name__, name)
    assert isinstance(task, Task)
    return task


def every() -> tuple[Task, ...]:
    """Return all tasks, the most demanding of a model first: the last one takes any."""
    return tuple(sorted((get(name) for name in names()), key=lambda task: task.rank))
