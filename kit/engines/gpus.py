"""The GPU of this machine, asked of its driver: nothing of CUDA is imported."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from kit.engines.provenance import Gpu

_QUERY = ("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
_TIMEOUT_S = 20
_JETSON = Path("/proc/device-tree/model")
_L4T = Path("/etc/nv_tegra_release")


def found(*, jetson: Path = _JETSON, l4t: Path = _L4T) -> Gpu | None:
    """Return the first GPU, or None where there is none. What the driver does not tell is None in it."""
    told = _of_driver()
    if told is not None:
        return told
    # A Jetson before JetPack 6 has no nvidia-smi, and its GPU is always there.
    model = _text(jetson)
    if "jetson" in model.lower() or "orin" in model.lower():
        first = _text(l4t).partition("\n")[0].lstrip("# ")
        return Gpu(name=model, compute_capability=None, driver=first.partition(", GCID")[0] or None)
    return None


def _of_driver() -> Gpu | None:
    if shutil.which(_QUERY[0]) is None:
        return None
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return None
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return None
    return of_row(lines[0])


def of_row(row: str) -> Gpu | None:
    """Return the GPU in a row of nvidia-smi's table: ``Tesla T4, 7.5, 580.65.06``."""
    parts = [part.strip() for part in row.rsplit(",", 2)]
    if len(parts) != 3:
        return None
    name, capability, driver = (None if "N/A" in part or part == "" else part for part in parts)
    return Gpu(name=name, compute_capability=capability, driver=driver)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
