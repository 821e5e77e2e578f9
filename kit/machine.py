"""What this process may use of the machine: cores and memory, inside the limits of a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be used: cores, and bytes of memory that are free, None where nobody says."""

    cores: int
    free_memory_bytes: int | None


def limits() -> Limits:
    """Return what this process may use."""
    return Limits(cores=cores(), free_memory_bytes=free_memory_bytes())


def cores(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Return how many cores this process may use: its affinity, and the share of time that its cgroups have."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _own_cgroups("cpu", proc, cgroups):
        quota, _, period = _read(folder / "cpu.max").partition(" ")  # "max 100000", or microseconds in each period
        quota = quota or _read(folder / "cpu.cfs_quota_us")
        period = period or _read(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            count = min(count, max(1, int(quota) // int(period)))
    return count


def free_memory_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return how many bytes can be used without swapping or being killed, or None where nobody says.

    It is the least of what the kernel calls available and of what each cgroup above has left; files that it keeps
    in memory are given back when they are needed.
    """
    found = [int(line.split()[1]) * 1024 for line in _read(proc / "meminfo").splitlines() if "MemAvailable:" in line]
    for folder in _own_cgroups("memory", proc, cgroups):
        limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
        if limit.isdecimal() and used.isdecimal():
            found.append(max(0, int(limit) - int(used) + _given_back(folder)))
    return min(found, default=None)


def _given_back(folder: Path) -> int:
    """Return the bytes of files in memory that nobody has used lately."""
    names = ("inactive_file", "total_inactive_file")
    rows = (line.split() for line in _read(folder / "memory.stat").splitlines())
    return max((int(row[1]) for row in rows if len(row) == 2 and row[0] in names and row[1].isdecimal()), default=0)


def _own_cgroups(controller: str, proc: Path, cgroups: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of those around it, for versions 1 and 2 of cgroups."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number != "0" and controller not in names.split(","):
            continue
        root = cgroups if number == "0" else cgroups / controller
        place = root / path.strip("/")
        yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(root))


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip()
    return ""
