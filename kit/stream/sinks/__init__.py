"""What is done with results: one file per kind of sink."""

from __future__ import annotations

from kit import axis
from kit.errors import UsageError, suggestion
from kit.stream.sinks.interface import Sink


def names() -> tuple[str, ...]:
    """Return the kinds of sink."""
    return axis.names(__name__)


def get(name: str) -> Sink:
    """Return the kind of that name."""
    member = axis.member(__name__, name)
    assert isinstance(member, Sink)
    return member


def every() -> tuple[Sink, ...]:
    """Return all kinds."""
    return tuple(get(name) for name in names())


def by_key(key: str) -> Sink:
    """Return the kind that a file of cameras calls so. Raises ``UsageError``."""
    keys = {sink.key: sink for sink in every() if sink.key}
    if key not in keys:
        raise UsageError(f'no output is called "{key}"; {suggestion(key, keys)}')
    return keys[key]
