"""A spec file as a document: its text, read by the rules of ``kit.document``."""

from __future__ import annotations

import stat
from pathlib import Path

from kit import document
from kit.document import Node, Problem, Words
from kit.errors import InvalidSpecError, SourceNotFoundError

LARGEST_BYTES = 256 * 1024
"""A model takes some 300 bytes. PyYAML reads a few hundred KB a second."""

_WORDS = Words(
    name="a spec", levels="five", together="all models", shared="what models share stands once, under defaults"
)


def text_of(path: Path) -> str:
    """Return the text of a spec file, without its byte order mark.

    Raises ``SourceNotFoundError`` and ``InvalidSpecError``.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise SourceNotFoundError(f"{path} is {what}; give the path of a spec file, or write one: kit init MODEL")
        if status.st_size > LARGEST_BYTES:
            raise InvalidSpecError(
                f"{path} has {status.st_size / 1024:.0f} KB; a spec file has at most {LARGEST_BYTES // 1024} KB"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"{path} does not exist{_neighbours(path)}") from error
    except OSError as error:
        raise SourceNotFoundError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise InvalidSpecError(f"{path}:{line}:{column}: not UTF-8 text; save it as UTF-8") from error


def parse(text: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """Return the document, None where there is none or it cannot be read on, and what is wrong with its form."""
    return document.parse(text, _WORDS)


def _neighbours(path: Path) -> str:
    """Name the spec files beside a path that does not exist."""
    near = sorted(p.name for p in path.parent.glob("*.y*ml"))[:5] if path.parent.is_dir() else []
    return f"; {path.parent}/ holds {', '.join(near)}" if near else "; write one with: kit init MODEL"
