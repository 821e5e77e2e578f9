"""Formats of devices that Triton does not serve: one file per format."""

from __future__ import annotations

from kit import axis
from kit.errors import UsageError, suggestion
from kit.exports.interface import Exporter


def names() -> tuple[str, ...]:
    """Return the formats' names."""
    return axis.names(__name__)


def get(name: str) -> Exporter:
    """Return the exporter of that name. Raises ``UsageError``."""
    if name not in names():
        raise UsageError(f'format "{name}" is not available; {suggestion(name, names())}')
    exporter = axis.member(__name__, name)
    assert isinstance(exporter, Exporter)
    return exporter
