"""Class names: one a line in ``labels.txt``, the line's index is the class.

They are given (a file, or a set that everybody knows, by name) or come from the model's metadata; what is given
wins. The known sets are the files in ``kit/label_sets``, each with its source and licence on top.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from kit.errors import UsageError, suggestion
from kit.types import Interpretation, Model

_SETS = Path(__file__).parent / "label_sets"

_KEYS = ("names", "labels", "id2label", "classes", "class_names", "label2id")
"""Where exporters keep names: Ultralytics (names), Hugging Face (id2label, label2id), others."""

_CONFIG_KEYS = ("config", "model_config")
"""Where a whole configuration is kept, as JSON with ``id2label`` in it."""

_LONGEST_TEXT = 10_000_000
"""Characters; ImageNet-21k's names have less than a tenth of that."""


def known() -> tuple[str, ...]:
    """Return the names of the known sets."""
    return tuple(sorted(p.stem for p in _SETS.glob("*.txt")))


def fitting(count: int) -> tuple[str, ...]:
    """Return the known sets of ``count`` names."""
    return tuple(name for name in known() if len(read(name)) == count)


def find(given: str | None, model: Model, meaning: Interpretation) -> tuple[str, ...]:
    """Return the class names that are ``given``, else those in the model's metadata; empty where there are none.

    Raises ``UsageError`` as ``read`` does, and where the number of names given is not that of the classes.
    """
    count = meaning.class_count
    if given is None:
        return from_metadata(model.metadata, count)
    names = read(given)
    if count is not None and len(names) != count:
        unit = "names" if _is_set(given) else "lines"
        remedy = f"; {' or '.join(sets)} would fit" if (sets := fitting(count)) else ""
        raise UsageError(f"labels {given} has {len(names)} {unit}, the model has {count} classes{remedy}")
    return names


def read(given: str) -> tuple[str, ...]:
    """Return the names in a file, or in the known set of that name; a file of the same name wins.

    Raises ``UsageError`` where there is neither, or where the file is no UTF-8.
    """
    if _is_set(given):
        lines = (_SETS / f"{given}.txt").read_text(encoding="utf-8").splitlines()
        return tuple(line for line in lines if not line.startswith("#"))
    try:
        text = Path(given).read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f'labels "{given}": no such file, nor a known set; {_nearest(given)}') from error
    except IsADirectoryError as error:
        raise UsageError(f'labels "{given}" is a folder; give a file with one name a line') from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"labels {given} cannot be read: {error}") from error
    names = tuple(line.strip() for line in text.splitlines())
    while names and not names[-1]:
        names = names[:-1]
    return names


def from_metadata(metadata: Mapping[str, str], count: int | None) -> tuple[str, ...]:
    """Return the ``count`` names that a model's metadata holds under one of the usual keys; else nothing.

    A list, or a table from number to name or from name to number, in Python's or JSON's writing.
    """
    candidates = (_listed(value) for value in _values(metadata))
    return next((names for names in candidates if names and len(names) == count), ())


def _is_set(given: str) -> bool:
    return given in known() and not os.path.exists(given)  # noqa: PTH110 (no error for what is no path)


def _nearest(given: str) -> str:
    """Name the file beside it, or the known set, that was probably meant."""
    path = Path(given)
    if path.suffix or len(path.parts) > 1:
        texts = sorted(p.name for p in path.parent.glob("*.txt"))[:50] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, texts, n=1)
        if near:
            return f"did you mean {path.parent / near[0]}?"
    return suggestion(given.lower(), known())


def _values(metadata: Mapping[str, str]) -> Iterator[object]:
    """Yield what stands under the usual keys, whatever their case, as lists and tables."""
    lower = {key.lower(): value for key, value in metadata.items()}
    for key in _KEYS:
        yield _parsed(lower.get(key, ""))
    for key in _CONFIG_KEYS:
        config = _parsed(lower.get(key, ""))
        if isinstance(config, dict):
            yield from (config.get(key) for key in _KEYS)


def _parsed(text: str) -> object:
    if len(text) > _LONGEST_TEXT:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():  # of unknown escapes in strings that are none of ours
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval raises
        return None


def _listed(value: object) -> tuple[str, ...]:
    """Return the names of a list, or of a table whose numbers run from 0; empty for anything else."""
    if isinstance(value, dict):
        value = _in_order(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        return ()
    return tuple(" ".join(name.split()) for name in value)


def _in_order(table: dict[object, object]) -> list[object]:
    if table and all(isinstance(number, int) for number in table.values()):
        table = {number: name for name, number in table.items()}
    # JSON has no numbers as keys
    numbered = {int(k) if isinstance(k, str) and k.isascii() and k.isdigit() and len(k) < 9 else k: v
                for k, v in table.items()}  # fmt: skip
    return [numbered.get(index) for index in range(len(numbered))]
