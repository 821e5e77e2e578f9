"""Where a model comes from: one file per kind of source."""

from __future__ import annotations

from kit import axis
from kit.errors import SourceNotFoundError
from kit.sources.interface import Source


def names() -> tuple[str, ...]:
    """Return the kinds of source."""
    return axis.names(__name__)


def resolve(source: str) -> Source:
    """Return the member that reads ``source``. Raises ``SourceNotFoundError`` where none does."""
    for name in names():
        member = axis.member(__name__, name)
        assert isinstance(member, Source)
        if member.claims(source):
            return member
    raise SourceNotFoundError(
        f'"{source}" is no file, and not of the form package.module:callable; give the path of an .onnx file'
    )
