"""The search: arithmetic, a look at the most promising, halving, and confirmation in turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kit.errors import ModelLoadError, ServerDiedError, TuneError
from kit.tune import ladder, ranking
from kit.tune.field import Field, drawn_up
from kit.tune.ladder import Effort
from kit.tune.predicting import Arithmetic, Service
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Found, Job, Measurement, Ranked, Stage

_SEARCH_SHARE = 0.6
"""The part of a time budget after which what was found so far is confirmed."""


class StoppedError(Exception):
    """The user wants an end; what was measured is concluded from."""


class Bench(Protocol):
    """What measures. Raises ``StoppedError`` where the user wants an end."""

    def service(self, candidate: Candidate, batches: Sequence[int]) -> Service:
        """Return what a candidate takes alone. Raises ``ModelLoadError`` and ``ServerDiedError``."""

    def measure(self, candidate: Candidate, stage: Stage, expected: float, effort: Effort) -> Measurement:
        """Return how much load a candidate holds."""

    def told(self, *, planned: int, note: str = "") -> None:
        """Take note of how many measurements there will be, and of what was decided."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many looks the search has, how many ``finalists`` are confirmed, and how often each.

    What the repository says now is measured once with them.
    """

    search: int
    finalists: int
    rounds: int

    @property
    def measurements(self) -> int:
        """All loads that are made."""
        return self.search + self.rounds * self.finalists + 1


def budget(considered: int) -> Budget:
    """Return how much is measured of so many candidates: a fifth, but 8 where there are few, and never more than 60.

    60 take about a quarter of an hour.
    """
    whole = min(60, max(8, considered // 5))
    finalists, rounds = (2, 2) if whole < 20 else (3, 3)
    return Budget(search=whole - rounds * finalists - 1, finalists=finalists, rounds=rounds)


@dataclass(kw_only=True)
class Search:
    """A search under way; ``made`` and ``why`` are what it has come to until now."""

    job: Job
    subject: Subject
    candidates: tuple[Candidate, ...]
    bench: Bench
    made: list[Measurement] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    interrupted: bool = False

    def run(self) -> Found:
        """Measure until it is clear, or the time is over, or the user wants an end.

        Raises ``TuneError`` where no load at all can be answered in time, and what ``bench`` raises.
        """
        try:
            services = self._services()
            _require_possible(services, self.job)
            plan = budget(len(self.candidates))
            field_, why = drawn_up(self.candidates, self._arithmetic(services), room=plan.search)
            self.why += why
            self.bench.told(planned=len(services) + plan.measurements, note=self.why[-1])
            self._look(field_, plan)
            self._confirm(field_, plan)
        except StoppedError:
            self.interrupted = True
            self.why.append("it was broken off: what comes first here is the best of what was measured until then")
        return self._found()

    def _arithmetic(self, services: Sequence[Service]) -> Arithmetic:
        gpu = frozenset(name for name, variant in self.subject.variants.items() if variant.gpu)
        return Arithmetic(services=services, cores=self.subject.cores, need=self.job.need, gpu=gpu)

    def _services(self) -> list[Service]:
        """Measure what batches take alone. Raises ``ModelLoadError`` and the like where nothing could be served."""
        found, refused = [], None
        probes = _probes(self.candidates, self.subject)
        self.bench.told(planned=len(probes) + budget(len(self.candidates)).measurements)
        for probe in probes:
            try:
                found.append(self.bench.service(probe, _sizes(probe.max_batch_size)))
            except (ModelLoadError, ServerDiedError) as error:  # noqa: PERF203 (loads take seconds)
                refused = error
                self.why.append(f"{probe.title} could not be served: {error}")
        if not found:
            assert refused is not None
            what = f"{self.subject.model} could not be served as {self.subject.target} says"
            raise type(refused)(f"{what}: {refused}; tune it where it can, or at --url of a Triton there") from refused
        return found

    def _look(self, field_: Field, plan: Budget) -> None:
        """Look at the best of each group that may be among the best, then at what is like the best of them."""
        if len(field_.predicted) <= plan.finalists:
            return
        groups = (plan.search + 1) // 2
        for number in range(plan.search):
            candidate = field_.next_group() if number < groups else None
            candidate = candidate or field_.next_alike()
            if candidate is None or self._late(_SEARCH_SHARE):
                break
            self._measure(field_, candidate, Stage.SEARCH, ladder.QUICK)

    def _confirm(self, field_: Field, plan: Budget) -> None:
        """Measure the finalists again in turns, each round all of them, so that a noisy machine meets all alike.

        One round more is made where they disagree and measurements are left.
        """
        finalists = field_.leaders(plan.finalists)
        if not finalists:
            self.why.append("nothing that was measured held what is asked for")
        before: tuple[Candidate, ...] = (self.subject.before,)
        left = plan.measurements - len(self.made) - 1
        for number in range(plan.rounds + 1):
            if number == plan.rounds and (left < len(finalists) or not self._disagree()):
                return
            # Every other round goes the other way: what slows down or warms up meets nobody always first.
            turn = tuple(dict.fromkeys((*finalists, *before)))[:: 1 if number % 2 == 0 else -1]
            for candidate in turn:
                if number and self._late(1.0):
                    self.why.append(f"the time of {self.job.limits.budget_s:g} s was over before all was confirmed")
                    return
                self._measure(field_, candidate, Stage.CONFIRM, ladder.CLOSE)
            before, left = (), left - len(finalists)

    def _measure(self, field_: Field, candidate: Candidate, stage: Stage, effort: Effort) -> None:
        if candidate not in field_.predicted:  # what the repository says now may be hopeless, and is compared with
            field_.predicted[candidate] = 0.0
        made = self.bench.measure(candidate, stage, field_.expected(candidate), effort)
        self.made.append(made)
        if stage is Stage.SEARCH or candidate not in field_.measured:
            field_.take(made)
        if made.failed:
            self.why.append(f"{candidate.title}: {made.failed}")

    def _disagree(self) -> bool:
        chosen = ranking.best(ranking.ranked(self.made, self.job.need))
        return chosen is not None and ranking.disagree(chosen)

    def _late(self, share: float) -> bool:
        limit = self.job.limits.budget_s
        return limit is not None and time.monotonic() - self.began_s > share * limit

    def _found(self) -> Found:
        need, before = self.job.need, self.subject.before
        found = tuple(each for each in ranking.ranked(self.made, need) if not all(m.failed for m in each.measurements))
        chosen = ranking.best(found)
        now = next((each for each in found if each.candidate == before), None)
        holds = chosen is not None and chosen.low >= (need.rate or 1e-9)
        return Found(
            need=need, target=self.job.target, model=self.job.model, best=chosen, before=now, holds=holds, ranked=found,
            frontier=ranking.frontier(found), considered=len(self.candidates),
            why=(*self.why, *_reasons(chosen, now, need.rate)), sure=ranking.sureness(chosen, found),
            interrupted=self.interrupted,
        )  # fmt: skip


def _probes(candidates: Sequence[Candidate], subject: Subject) -> tuple[Candidate, ...]:
    """Return whose batches are measured alone: for each variant one instance, and one for each core, or 2 on a GPU.

    Instances with as few threads as can be, and no delay: what else there is lies between, or can be computed.
    """
    found: list[Candidate] = []
    cores = subject.cores
    for variant in sorted({candidate.variant for candidate in candidates}):
        own = [c for c in candidates if c.variant == variant]
        own = [c for c in own if c.max_batch_size == max(each.max_batch_size for each in own)]
        own = [c for c in own if c.queue_delay_us == min(each.queue_delay_us for each in own)]
        many = 2 if subject.variants[variant].gpu else cores
        one = min(own, key=lambda c: (c.instances, -(c.threads or cores)))
        found += [one, min(own, key=lambda c: (abs(c.instances - many), c.threads or cores, c.instances))]
    return tuple(dict.fromkeys(found))


def _sizes(largest: int) -> tuple[int, ...]:
    return tuple(sorted({1, *(1 << exponent for exponent in range(largest.bit_length())), max(1, largest)}))


def _require_possible(services: Sequence[Service], job: Job) -> None:
    """Raise ``TuneError`` where one request alone takes longer than the percentile allows."""
    quickest = min(services, key=lambda service: service.answer_ms)
    if quickest.answer_ms > job.need.p99_ms:
        raise TuneError(
            f"a p99 of {job.need.p99_ms:g} ms cannot be held: one request alone is answered after "
            f"{quickest.answer_ms:.3g} ms ({quickest.candidate.title}); allow more than that, or choose a smaller "
            "model or a lower precision"
        )


def _reasons(chosen: Ranked | None, now: Ranked | None, rate: float | None) -> list[str]:
    if chosen is None:
        return ["no candidate held any rate within the p99"]
    said = [f"{chosen.candidate.title} holds {chosen.capacity:.4g} requests a second"]
    if rate is not None:
        said[0] += f", {chosen.capacity / rate:.2g} times what is needed"
    if now is not None and now is not chosen and now.capacity > 0:
        said.append(f"what the repository says now ({now.candidate.title}) holds {now.capacity:.4g}")
    if now is chosen:
        said.append("that is what the repository says already")
    return said
