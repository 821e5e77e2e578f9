"""Counts that were made up, and the outcome that they come to."""

from __future__ import annotations

from kit.load.outcome import Collected, End, Outcome, concluded
from kit.load.profile import Profile, held
from kit.load.values import Cell, Message, ModelShare, Plan


def cell(second: int, *, times_ms: tuple[float, ...] = (20.0,) * 10, phase: int = 0, **counts: int) -> Cell:
    made = Cell(phase=phase, second=second, model="m", due=len(times_ms), answered=len(times_ms))
    for value in times_ms:
        made.response.add((value + 1e-4) / 1e3)
    for name, count in counts.items():
        setattr(made, name, count)
    return made


def outcome(
    *cells: Cell, profile: Profile | None = None, end: End = End.PLANNED, busy: float = 0.1, arrivals: str | None = None
) -> Outcome:
    profile = profile or held([10.0], 3.0)
    plan = Plan(url="x", models=(ModelShare(name="m"),), profile=profile, arrivals=arrivals, warmup_s=0.0)
    collected = Collected(plan=plan)
    collected.take(
        Message(generator=0, wall_s=1010, started_s=1000, busy=busy, in_flight=0, cells=cells, ended=False)
    )  # fmt: skip
    return concluded(collected, end, [])
