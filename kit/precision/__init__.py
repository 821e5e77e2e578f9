"""The precision of a model's numbers, explicit in its graph: one file per precision."""

from __future__ import annotations

from kit import axis
from kit.errors import UnknownPrecisionError, suggestion
from kit.precision.interface import Precision


def names() -> tuple[str, ...]:
    """Return the precisions' names."""
    return axis.names(__name__)


def get(name: str) -> Precision:
    """Return the precision of that name. Raises ``UnknownPrecisionError``."""
    if name not in names():
        raise UnknownPrecisionError(f'precision "{name}" is not available; {suggestion(name, names())}')
    precision = axis.member(__name__, name)
    assert isinstance(precision, Precision)
    return precision
