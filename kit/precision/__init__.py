"""The precision of a model's numbers, explicit in its graph: one file per precision."""

from __future__ import annotations

from kit import axis
from kit.errors import UnknownPrecisionError, suggestion
from kit.precision.interface import Precision

AUTO = "auto"
"""What stands for the lowest precision that holds its budget."""


def names() -> tuple[str, ...]:
    """Return the precisions' names."""
    return axis.names(__name__)


def words() -> tuple[str, ...]:
    """Return what a precision may be asked for by: the names, and ``AUTO``."""
    return (AUTO, *names())


def ladder(wanted: str) -> tuple[Precision, ...]:
    """Return what to try, the lowest precision first: one, or all automatic ones. Raises ``UnknownPrecisionError``."""
    if wanted != AUTO:
        return (get(wanted),)
    every = [member for member in map(get, names()) if member.automatic]
    return tuple(sorted(every, key=lambda member: member.bits))


def get(name: str) -> Precision:
    """Return the precision of that name. Raises ``UnknownPrecisionError``."""
    if name not in names():
        raise UnknownPrecisionError(f'precision "{name}" is not available; {suggestion(name, words())}')
    precision = axis.member(__name__, name)
    assert isinstance(precision, Precision)
    return precision
