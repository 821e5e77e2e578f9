"""A tuning from its beginning to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from kit import load
from kit.load import generating
from kit.tune import journal, places, ranking, searching, space, subject
from kit.tune.journal import Journal, Line
from kit.tune.ladder import Effort
from kit.tune.measuring import Meter
from kit.tune.predicting import Service
from kit.tune.searching import StoppedError
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Found, Job, Measurement, Ranked, Stage, Told

Tell = Callable[[Told], None]


def run(job: Job, *, tell: Tell = lambda _: None, stop: threading.Event | None = None) -> Found:
    """Find the batching that holds what is needed with the most head-room, and leave everything as it was.

    ``tell`` is called before each measurement and after the last. ``stop`` ends it early, and what was measured is
    concluded from. Raises ``UnknownTargetError``, ``BadRepositoryError``, ``TuneError``, ``NotReadyError`` and
    ``UnknownModelError`` for what cannot be tuned, ``MissingExtraError`` without locust, ``InputsError`` for images,
    ``ServerDiedError`` where the server is gone for good (what was measured is kept in the journal), and what starting
    a server raises.
    """
    generating.require()
    known = subject.read(job)
    candidates = space.candidates(known, job.need, job.limits)
    with journal.opened(job, known) as kept, ExitStack() as open_:
        bench = Recorded(job=job, subject=known, journal=kept, tell=tell, stop=stop or threading.Event(), open_=open_)
        found = searching.Search(job=job, subject=known, candidates=candidates, bench=bench).run()
        found = replace(found, why=(*found.why, *bench.origin()))
        bench.done(found)
    return found


@dataclass(kw_only=True)
class Recorded:
    """Measures what the journal does not have, and writes it there. The place is opened when it is needed first."""

    job: Job
    subject: Subject
    journal: Journal
    tell: Tell
    stop: threading.Event
    open_: ExitStack
    measured: int = 0
    planned: int = 0
    _known: int = 0
    _made: list[Measurement] = field(default_factory=list)
    _note: str = ""
    _meter: Meter | None = None

    def service(self, candidate: Candidate, batches: Sequence[int]) -> Service:
        """Return what a candidate takes alone."""
        self._before(Stage.SERVICE, candidate)
        made = self.journal.service(candidate)
        if made is None:
            made = self._opened().service(candidate, batches)
            self._heed()
            self.journal.keep(Line(service=made))
        self.measured += 1
        return made

    def measure(self, candidate: Candidate, stage: Stage, expected: float, effort: Effort) -> Measurement:
        """Return how much load a candidate holds."""
        self._before(stage, candidate)
        made = self.journal.measurement(stage, candidate)
        self._known += made is not None
        if made is None:
            repeat = sum(m.candidate == candidate and m.stage is stage for m in self._made)
            made = self._opened().measure(candidate, stage, expected, effort, repeat=repeat)
            self._heed()  # one that was broken off is none
            self.journal.keep(Line(measurement=made))
        self.measured += 1
        self._made.append(made)
        return made

    def told(self, *, planned: int, note: str = "") -> None:
        """Take note."""
        self.planned, self._note = max(planned, self.measured), note

    def origin(self) -> tuple[str, ...]:
        """Say of measurements that were made before when that was."""
        if not self._known or self.journal.written_s is None:
            return ()
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.journal.written_s))
        return (
            f"{self._known} of {len(self._made)} measurements were there already, of {day}: --fresh makes them again",
        )

    def done(self, found: Found) -> None:
        """Tell that there is no more."""
        if self._made:
            last = self._made[-1]
            self.planned = self.measured
            self._tell(last.stage, last.candidate, found.best)

    def _before(self, stage: Stage, candidate: Candidate) -> None:
        self._heed()
        self.planned = max(self.planned, self.measured + 1)
        self._tell(stage, candidate, ranking.best(ranking.ranked(self._made, self.job.need)))
        self._heed()

    def _tell(self, stage: Stage, candidate: Candidate, best: Ranked | None) -> None:
        latest = self._made[-1] if self._made else None
        note, self._note = self._note, ""
        self.tell(
            Told(
                stage=stage, candidate=candidate, measured=self.measured, planned=self.planned, latest=latest,
                best=best, note=note,
            )
        )  # fmt: skip

    def _heed(self) -> None:
        if self.stop.is_set():
            raise StoppedError

    def _opened(self) -> Meter:
        if self._meter is None:
            place = self.open_.enter_context(places.opened(self.job, self.subject, self._announce))
            prepared = self.open_.enter_context(load.Prepared())
            self._meter = Meter(job=self.job, subject=self.subject, place=place, stop=self.stop, prepared=prepared)
        return self._meter

    def _announce(self, line: str) -> None:
        self._note = line
