"""How validation sets lie on disk: one file per layout."""

from __future__ import annotations

from pathlib import Path

from kit import axis
from kit.accuracy.layouts.interface import Layout
from kit.errors import ValidationSetError


def names() -> tuple[str, ...]:
    """Return the layouts' names."""
    return axis.names(__name__)


def get(name: str) -> Layout:
    """Return the layout of that name, which is one of ``names()``."""
    layout = axis.member(__name__, name)
    assert isinstance(layout, Layout)
    return layout


def every() -> tuple[Layout, ...]:
    """Return all layouts, the most particular first: the last one takes any folder of pictures."""
    return tuple(sorted((get(name) for name in names()), key=lambda layout: layout.rank))


def choose(place: Path, task: str) -> Layout:
    """Return the first layout that reads ``place`` and is of use to ``task``. Raises ``ValidationSetError``."""
    if not place.exists():
        raise ValidationSetError(f"validation {place}: no such file or folder; {expects(task)}")
    for layout in every():
        if task in layout.tasks and layout.reads(place):
            return layout
    raise ValidationSetError(f"validation {place} is no validation set for the task {task}; {expects(task)}")


def expects(task: str) -> str:
    """Say in a sentence what can be given for a task."""
    return f"give {', '.join(layout.expects() for layout in every() if task in layout.tasks)}"
