"""What was measured in a run: times, exact differences, the machine. Beside the repository, never in it."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from kit.manifest import Manifest
from kit.types import Parity, StageTime


def place(output: Path) -> Path:
    """Return the report's path for a repository."""
    resolved = output.resolve()
    return resolved.with_name(f"{resolved.name}.report.json")


def write(
    output: Path, folder: Path, manifest: Manifest, parity: Sequence[Parity], times: Sequence[StageTime], seconds: float
) -> Path:
    """Add this run of one model to the report, in place of its last one; where that cannot be, do without.

    It is made in ``folder``, which is swept after a kill, and then put at its place in one step.
    """
    path = place(output)
    try:
        models = dict(json.loads(path.read_text(encoding="utf-8"))["models"])
    except (OSError, ValueError, KeyError, TypeError):
        models = {}
    models[manifest.name] = {
        "version": manifest.version,
        "seconds": round(seconds, 3),
        "stages": [{"stage": t.stage, "seconds": round(t.seconds, 3), "cached": t.cached} for t in times],
        "parity": msgspec.to_builtins(tuple(parity)),
        "verification": {name: msgspec.to_builtins(r.verification) for name, r in manifest.targets.items()},
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
    }
    text = json.dumps({"models": models}, indent=2) + "\n"
    partial = folder / "report.json"
    with suppress(OSError):  # the repository is published; a folder that cannot hold a report is no reason to fail
        partial.write_text(text, encoding="utf-8")
        try:
            partial.replace(path)
        except OSError:  # the repository is a file system of its own
            shutil.copyfile(partial, path)
    return path
