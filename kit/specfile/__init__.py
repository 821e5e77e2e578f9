"""Spec files: several models, their targets and what they share, in one YAML file. See docs/spec.md."""

from __future__ import annotations

import re
from pathlib import Path

from kit.errors import SourceNotFoundError

_ENDINGS = (".yaml", ".yml")
_LARGEST_LOOK = 1 << 16
_NETWORK = re.compile(rb"^(backbone|nc)\s*:", re.MULTILINE)
"""Ultralytics describes networks in YAML too, with these keys: https://docs.ultralytics.com/guides/model-yaml-config/"""


def is_spec(source: str) -> bool:
    """Tell whether ``kit generate`` is given a spec file: YAML, and no network of Ultralytics."""
    if not source.endswith(_ENDINGS):
        return False
    try:
        with Path(source).open("rb") as file:
            return not _NETWORK.search(file.read(_LARGEST_LOOK))
    except FileNotFoundError:
        return "/" in source or not _is_name(source)
    except OSError:
        return True  # whoever reads it says why it cannot be read


def _is_name(source: str) -> bool:
    """Tell whether a word that is no file is known to a source: a network that somebody's package describes."""
    from kit import sources

    try:
        sources.resolve(source)
    except SourceNotFoundError:
        return False
    return True
