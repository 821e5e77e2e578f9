"""When requests come, at a mean of one a second: one file per pattern. ``kit.load.profile`` brings it to a rate."""

from __future__ import annotations

from kit import axis
from kit.errors import UsageError, suggestion
from kit.load.arrivals.interface import Arrivals


def names() -> tuple[str, ...]:
    """Return the names of all patterns."""
    return tuple(axis.names(__name__))


def of_cameras() -> str:
    """Return the name of the pattern that cameras make."""
    return next(name for name in names() if get(name).of_cameras)


def get(name: str) -> Arrivals:
    """Return a pattern. Raises ``UsageError`` where there is none of this name."""
    if name not in names():
        raise UsageError(f'no arrivals are called "{name}"; {suggestion(name, names())}')
    found = axis.member(__name__, name)
    assert isinstance(found, Arrivals)
    return found
