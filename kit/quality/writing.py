"""The quality report as files beside the repository: a page for people, JSON for programs."""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.quality import page
from kit.quality.values import Quality


@dataclass(frozen=True, kw_only=True)
class Written:
    """Where a report is."""

    html: Path
    json: Path


def place(output: Path, name: str) -> Written:
    """Return the paths of a model's report: ``<repository>.<model>.quality.html`` and ``.json``."""
    resolved = output.resolve()
    stem = f"{resolved.name}.{name}.quality"
    return Written(html=resolved.with_name(f"{stem}.html"), json=resolved.with_name(f"{stem}.json"))


def write(quality: Quality, output: Path, folder: Path) -> Written | None:
    """Write both files beside the repository ``output``, each whole or not at all; None where that cannot be.

    They are made in ``folder``, which is swept after a kill, and then put at their places in one step. A place that
    cannot hold a report is no reason to fail: what was decided stands without it.
    """
    paths = place(output, quality.name)
    try:
        for path, text in ((paths.json, as_json(quality)), (paths.html, page.render(quality))):
            _put(path, text, folder)
    except OSError:
        return None
    return paths


def as_json(quality: Quality) -> str:
    """Return the report for programs: every value but the pictures' bytes; null for what is no number."""
    import msgspec

    return json.dumps(_plain(msgspec.to_builtins(quality)), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(found) for key, found in value.items() if key != "jpeg"}
    if isinstance(value, (list, tuple)):
        return [_plain(found) for found in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _put(path: Path, text: str, folder: Path) -> None:
    partial = folder / path.name
    partial.write_text(text, encoding="utf-8")
    try:
        partial.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = path.with_name(f".{path.name}.partial")  # the repository is a file system of its own
        shutil.copyfile(partial, beside)
        beside.replace(path)
