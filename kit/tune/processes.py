"""What processes of this machine use, by ``/proc``: the memory of a server, and whose the CPU time is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """CPU seconds so far: of all that this process' cores did, and of it with all its descendants."""

    all_s: float
    own_s: float
    wall_s: float


def tree(root: int, proc: Path = _PROC) -> tuple[int, ...]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    for pid, fields in _stats(proc):
        children.setdefault(int(fields[1]), []).append(pid)
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], ())
    return tuple(found)


def resident_bytes(root: int, proc: Path = _PROC) -> int | None:
    """Return the memory of a process and its descendants: the proportional share of what they hold together.

    Where that may not be read, what each holds alone is added up. None where the process is gone.
    """
    found = [size for size in (_resident(proc / str(pid)) for pid in tree(root, proc)) if size is not None]
    return sum(found) if found else None


def clock(proc: Path = _PROC) -> Clock:
    """Return how much was computed so far, by everybody and by us."""
    ticks = os.sysconf("SC_CLK_TCK")
    mine = os.getpid()
    own = set(tree(mine, proc))
    used = sum(sum(map(int, fields[11:15])) for pid, fields in _stats(proc) if pid in own)
    return Clock(all_s=_busy_ticks(proc) / ticks, own_s=used / ticks, wall_s=float(_read(proc / "uptime").split()[0]))


def others_cores(before: Clock, after: Clock) -> float:
    """Return how many cores others kept busy between two readings."""
    spent_s = (after.all_s - before.all_s) - (after.own_s - before.own_s)
    return max(0.0, spent_s / max(1e-3, after.wall_s - before.wall_s))


def _busy_ticks(proc: Path) -> int:
    """Return the ticks of the cores that this process may use: all but idle and waiting; stolen ones too."""
    mine = {f"cpu{core}" for core in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else {"cpu"}
    rows = (line.split() for line in _read(proc / "stat").splitlines())
    return sum(sum(map(int, (*row[1:4], *row[6:9]))) for row in rows if row and row[0] in mine)


def _stats(proc: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each process' number and the fields of its ``stat`` from the third on (man 5 proc)."""
    for entry in proc.glob("[0-9]*"):
        fields = _read(entry / "stat").rpartition(")")[2].split()
        if fields:
            yield int(entry.name), fields


def _resident(folder: Path) -> int | None:
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        for line in _read(folder / name).splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return None


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace")
    return ""
