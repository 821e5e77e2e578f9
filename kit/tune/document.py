"""Everything that is told of a tuning, as one value: ``--json`` prints it, and the page is made of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kit.tune import words
from kit.tune.values import Candidate, Found, Job, Measurement, Need, Ranked, Stage

SCHEMA = "triton-edge-kit-tune/1"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate and what was measured of it. ``confirmed``: more than once, as a finalist.

    ``frontier``: no other beats it in capacity, p99 and memory at once. ``before``: it is what the repository says.
    """

    title: str
    best: bool
    before: bool
    confirmed: bool
    frontier: bool
    capacity: float
    low: float
    high: float
    p99_ms: float | None
    memory_bytes: int | None
    candidate: Candidate
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A line of a spec file that was changed, counted from 1."""

    key: str
    before: str
    after: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What became of the spec file: what was written, or ``refused``, which says why nothing was."""

    spec: str
    written: tuple[Written, ...] = ()
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Document:
    """Everything that is told of a tuning. Times in ms, rates in requests a second, sizes in bytes.

    ``finished_s`` is in seconds since 1970. ``head_room`` is by how much of the rate that is needed the best exceeds
    it (below 0: falls short), None where no rate is asked for. ``settings`` are the spec's keys that make the best be.
    ``targets`` are all that the model is made for, as far as its manifest says.
    """

    schema: str
    verdict: str
    summary: str
    repository: str
    model: str
    target: str
    targets: tuple[str, ...]
    server: str
    asked: str
    need: Need
    needed_rate: float | None
    head_room: float | None
    sure: str
    why: tuple[str, ...]
    interrupted: bool
    considered: int
    measured: int
    finished_s: float
    settings: Mapping[str, str]
    applied: Applied | None
    candidates: tuple[Row, ...]

    @property
    def best(self) -> Row | None:
        """The one with the most head-room."""
        return next((row for row in self.candidates if row.best), None)

    @property
    def before(self) -> Row | None:
        """What the repository says now."""
        return next((row for row in self.candidates if row.before), None)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is known beside what was found: the spec's lines, what was done with them, and the model's targets."""

    settings: Mapping[str, str] = field(default_factory=dict)
    applied: Applied | None = None
    targets: tuple[str, ...] = ()


def of(job: Job, found: Found, told: Told) -> Document:
    """Return all that is told."""
    best, wanted = found.best, found.need.rate
    return Document(
        schema=SCHEMA,
        verdict=words.verdict(found),
        summary=words.headline(found),
        repository=str(job.repository),
        model=found.model,
        target=found.target,
        targets=told.targets,
        server=job.url or f"the {job.engine} server",
        asked=words.need(found.need),
        need=found.need,
        needed_rate=wanted,
        head_room=None if best is None or wanted is None else best.capacity / wanted - 1,
        sure=found.sure,
        why=found.why,
        interrupted=found.interrupted,
        considered=found.considered,
        measured=sum(len(each.measurements) for each in every(found)),
        finished_s=time.time(),
        settings=told.settings,
        applied=told.applied,
        candidates=tuple(_row(each, found) for each in every(found)),
    )


def every(found: Found) -> tuple[Ranked, ...]:
    """Return all that were measured, the best first, then by what they hold; each once."""
    first = [each for each in (found.best,) if each is not None]
    rest = sorted((*found.ranked, *([found.before] if found.before else [])), key=lambda each: -each.capacity)
    chosen: dict[Candidate, Ranked] = {}
    for each in (*first, *rest):
        chosen.setdefault(each.candidate, each)
    return tuple(chosen.values())


def confirmed(each: Ranked) -> bool:
    """Return whether a candidate was among the finalists."""
    return any(made.stage is Stage.CONFIRM for made in each.measurements)


def _row(each: Ranked, found: Found) -> Row:
    return Row(
        title=each.candidate.title,
        best=found.best is not None and each.candidate == found.best.candidate,
        before=found.before is not None and each.candidate == found.before.candidate,
        confirmed=confirmed(each),
        frontier=any(each.candidate == other.candidate for other in found.frontier),
        capacity=each.capacity,
        low=each.low,
        high=each.high,
        p99_ms=each.p99_ms,
        memory_bytes=each.memory_bytes,
        candidate=each.candidate,
        measurements=each.measurements,
    )
