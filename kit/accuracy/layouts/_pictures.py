"""Picture files: found, their sizes read from their headers, and those that are no pictures told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kit.errors import ValidationSetError


def sizes(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    """Return height and width of each file in pixels. Raises ``ValidationSetError`` that counts the unreadable ones."""
    from PIL import Image

    found: list[tuple[int, int]] = []
    failed: list[str] = []
    for path in files:
        try:
            with Image.open(path) as picture:
                found.append((picture.height, picture.width))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # noqa: PERF203 (each is told)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "no picture"
            failed.append(f"{path}: {reason}")
    if failed:
        raise ValidationSetError(
            f"{len(failed)} of {len(files)} validation pictures cannot be read (first: {failed[0]}); delete or replace "
            "them"
        )
    return tuple(found)


def some(items: Sequence[object], most: int = 3) -> str:
    """Return the first few as text, and how many more there are."""
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
