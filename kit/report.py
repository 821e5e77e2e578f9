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

from kit import disk
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
    seen = {
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
    partial = folder / "report.json"
    # The repository is published; a folder that cannot hold a report is no reason to fail. The lock is for runs of
    # other models at the same time, whose staging is in the same folder.
    with suppress(OSError), disk.locked(folder.parent):
        models = {**_models(path), manifest.name: seen}
        partial.write_text(json.dumps({"models": models}, indent=2) + "\n", encoding="utf-8")
        try:
            partial.replace(path)
        except OSError:  # the repository is a file system of its own
            shutil.copyfile(partial, path)
    return path


def _models(path: Path) -> dict[str, object]:
    """Return what a report holds of each model; nothing where it cannot be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["models"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
