"""Spec files: several models, their targets and what they share, in one YAML file. See docs/spec.md."""

from __future__ import annotations

import re
from pathlib import Path

_ENDINGS = (".yaml", ".yml")
_LARGEST_LOOK = 1 << 16
_NETWORK = re.compile(rb"^(backbone|nc)\s*:", re.MULTILINE)
"""Ultralytics describes networks in YAML too, with these keys: https://docs.ultralytics.com/guides/model-yaml-config/"""


def is_spec(source: str) -> bool:
    """Tell whether ``kit generate`` is given a spec file: YAML, and no network of Ultralytics."""
    if not source.endswith(_ENDINGS):
        return False
    path = Path(source)
    try:
        with path.open("rb") as file:
            return not _NETWORK.search(file.read(_LARGEST_LOOK))
    except OSError:
        return True  # whoever reads it says why it cannot be read
