"""Tunings as they could have been found, made by hand: what is shown of one needs no server."""

from __future__ import annotations

from pathlib import Path

from kit.tune.values import Candidate, Found, Job, Measurement, Need, Ranked, Stage, Step

MIB = 1 << 20
NEED = Need(p99_ms=50.0, cameras=8, fps=15.0)
JOB = Job(repository=Path("nowhere/model_repository"), model="digits", target="x86-cpu", need=NEED)


def candidate(instances: int, batch: int, *, delay_us: int = 0, threads: int = 1, variant: str = "") -> Candidate:
    return Candidate(
        instances=instances, max_batch_size=batch, queue_delay_us=delay_us, threads=threads, variant=variant
    )


def steps(capacity: float, limit_ms: float = 50.0) -> tuple[Step, ...]:
    """Return a ladder whose p99 reaches the limit at ``capacity``."""
    return tuple(
        Step(
            asked_rate=capacity * share,
            rate=capacity * min(share, 1.02),
            p50_ms=4 + 4 * share**3,
            p99_ms=limit_ms * (0.2 + 0.8 * share**6),
            fail_ratio=0.0 if share <= 1 else 0.03,
            mean_batch=1 + share,
            held=share <= 1,
        )
        for share in (0.5, 0.7, 0.85, 0.95, 1.0, 1.1)
    )


def measured(
    which: Candidate, capacity: float, stage: Stage = Stage.CONFIRM, *, mib: int | None = 400, noisy: str = ""
) -> Measurement:
    return Measurement(
        candidate=which, stage=stage, steps=steps(capacity) if capacity else (), capacity=capacity,
        memory_bytes=None if mib is None else mib * MIB, seconds=9.0, noisy=noisy,
    )  # fmt: skip


def ranked(
    which: Candidate, *capacities: float, mib: int | None = 400, noisy: str = "", p99_ms: float = 21.5
) -> Ranked:
    """Return a finalist with these confirmations, or one of the search where there is one alone."""
    stage = Stage.CONFIRM if len(capacities) > 1 else Stage.SEARCH
    made = tuple(measured(which, capacity, stage, mib=mib, noisy=noisy) for capacity in capacities)
    middle = sorted(capacities)[len(capacities) // 2]
    return Ranked(
        candidate=which, capacity=middle, low=min(capacities), high=max(capacities),
        p99_ms=p99_ms if middle else None, memory_bytes=None if mib is None else mib * MIB, measurements=made,
    )  # fmt: skip


def failed(which: Candidate, why: str) -> Ranked:
    made = Measurement(candidate=which, stage=Stage.SEARCH, failed=why)
    return Ranked(
        candidate=which, capacity=0.0, low=0.0, high=0.0, p99_ms=None, memory_bytes=None, measurements=(made,)
    )  # fmt: skip


BEST = ranked(candidate(2, 2), 168.0, 171.0, 174.0, mib=412)
NEXT = ranked(candidate(1, 4, delay_us=2000, threads=2), 150.0, 158.0, 159.0, mib=310, p99_ms=29.0)
BEFORE = ranked(candidate(1, 4, threads=2), 98.0, 101.0, 99.0, mib=300, p99_ms=44.0)
OTHERS = (
    ranked(candidate(4, 8), 90.0, mib=700, p99_ms=40.0),
    ranked(candidate(2, 8), 120.0, mib=430, p99_ms=38.0),
    ranked(candidate(1, 1), 80.0, mib=240, p99_ms=12.0),
)
BROKEN = failed(candidate(8, 8), "the server ended: out of memory")
WHY = (
    "48 ways to serve it, by the arithmetic: the best holds about 180 requests a second",
    "31 not measured: on paper at most 49% of the best",
)


def found(**changes: object) -> Found:
    """Return a tuning that holds, but for what is said otherwise."""
    values: dict[str, object] = {
        "need": NEED, "target": "x86-cpu", "model": "digits", "best": BEST, "before": BEFORE, "holds": True,
        "ranked": (BEST, NEXT, *OTHERS, BEFORE, BROKEN), "frontier": (BEST, NEXT, OTHERS[2]), "considered": 48,
        "why": WHY, "sure": "well: 3 confirmations of it differ by 4%; no other comes as near", "interrupted": False,
    }  # fmt: skip
    return Found(**{**values, **changes})  # type: ignore[arg-type]


def found_too_little() -> Found:
    """Return a tuning of which nothing holds what is needed."""
    return found(need=Need(p99_ms=50.0, cameras=20, fps=15.0), holds=False)


def found_the_most() -> Found:
    """Return a tuning without cameras."""
    return found(need=Need(p99_ms=50.0))


def found_as_it_is() -> Found:
    """Return a tuning whose best is what the repository says."""
    return found(need=Need(p99_ms=50.0, cameras=5), best=BEFORE, ranked=(BEFORE, *OTHERS), frontier=(BEFORE,))


def found_nothing() -> Found:
    """Return a tuning in which nothing could be measured."""
    return found(best=None, before=BROKEN, holds=False, ranked=(BROKEN,), frontier=(), sure="not at all")


def found_so_far() -> Found:
    """Return a tuning that was broken off."""
    first = ranked(candidate(1, 1), 80.0)
    return found(
        best=first, before=None, holds=False, ranked=(first,), frontier=(first,), interrupted=True,
        sure="a guess: it was broken off before anything was confirmed",
    )  # fmt: skip
