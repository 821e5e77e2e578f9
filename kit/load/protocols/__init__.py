"""How requests travel: one file per protocol."""

from __future__ import annotations

from kit import axis
from kit.errors import UsageError, suggestion
from kit.load.protocols.interface import Wire


def names() -> tuple[str, ...]:
    """Return the names of all protocols."""
    return tuple(axis.names(__name__))


def get(name: str) -> Wire:
    """Return a protocol. Raises ``UsageError`` where there is none of this name."""
    if name not in names():
        raise UsageError(f'no protocol is called "{name}"; {suggestion(name, names())}')
    found = axis.member(__name__, name)
    assert isinstance(found, Wire)
    return found
