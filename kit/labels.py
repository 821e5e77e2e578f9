"""Class names: one a line in ``labels.txt``, the line's index is the class."""

from __future__ import annotations

import ast
from pathlib import Path

from kit.errors import UsageError
from kit.types import Interpretation, Model


def find(file: Path | None, model: Model, meaning: Interpretation) -> tuple[str, ...]:
    """Return the class names from ``file``, else from the model's metadata; empty where there are none.

    Raises ``UsageError`` where a file was given and its length is not the number of classes.
    """
    if file is None:
        names = _from_metadata(model.metadata.get("names", ""))
        return names if len(names) == meaning.class_count else ()
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"labels {file} cannot be read: {error}") from error
    while names and not names[-1]:
        names = names[:-1]
    if meaning.class_count is not None and len(names) != meaning.class_count:
        raise UsageError(f"labels {file} has {len(names)} lines, the model has {meaning.class_count} classes")
    return names


def _from_metadata(text: str) -> tuple[str, ...]:
    """Read what Ultralytics writes: ``{0: 'person', 1: 'bicycle'}``, or a list."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval raises
        return ()
    if isinstance(value, dict):
        value = [value.get(index) for index in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return ()
    return tuple(" ".join(name.split()) for name in value)
