"""The candidates that are still worth a measurement, by the arithmetic and by what was measured of their like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kit.tune.predicting import Arithmetic
from kit.tune.values import Candidate, Measurement

_HOPELESS = 0.5
"""A candidate is not measured where it holds less than this share of the best, on paper: a wide margin."""
_TIE = 0.02
"""Predictions that differ by less are the same."""

Group = tuple[str, int, int]


@dataclass(kw_only=True)
class Field:
    """Candidates with their predictions, which measurements correct.

    A group are candidates that differ in batch and delay only: what is wrong with the prediction of one (copies,
    threads in each other's way) is so with those of the others.
    """

    predicted: dict[Candidate, float]
    measured: dict[Candidate, float] = field(default_factory=dict)

    def take(self, measurement: Measurement) -> None:
        """Learn from a measurement; a candidate that failed holds nothing."""
        self.measured[measurement.candidate] = measurement.capacity

    def score(self, candidate: Candidate) -> float:
        """Return what it holds, as far as it is known: measured, or predicted with what is known of its group."""
        if candidate in self.measured:
            return self.measured[candidate]
        return self.predicted[candidate] * self._correction(candidate)

    def _correction(self, candidate: Candidate) -> float:
        """Return by how much predictions were wrong: of the group, else of all."""
        ratios = {c: m / self.predicted[c] for c, m in self.measured.items() if m > 0 and self.predicted.get(c)}
        own = [ratio for c, ratio in ratios.items() if group(c) == group(candidate)]
        known = own or list(ratios.values())
        return math.exp(sum(map(math.log, known)) / len(known)) if known else 1.0

    def expected(self, candidate: Candidate) -> float:
        """Return a rate to begin with, above 0."""
        scored = self.score(candidate)
        typical = [value for value in (*self.measured.values(), *self.predicted.values()) if value > 0]
        return scored if scored > 0 else min(typical, default=1.0) / 2

    def next_group(self) -> Candidate | None:
        """Return the most promising candidate of a group that nothing was measured of, if it may be among the best."""
        seen = {group(candidate) for candidate in self.measured}
        return self._best(c for c in self.predicted if group(c) not in seen)

    def next_alike(self) -> Candidate | None:
        """Return the most promising candidate of all; of those alike, the one least like what was measured."""
        return self._best(self.predicted)

    def leaders(self, count: int) -> tuple[Candidate, ...]:
        """Return the best, first of those that were measured and held something, then by their scores."""
        seen = {c: value > 0 for c, value in self.measured.items()}
        able = [c for c in self.predicted if seen.get(c, self.predicted[c] > 0)]
        return tuple(sorted(able, key=lambda c: (c not in seen, -self.score(c), c.queue_delay_us, c))[:count])

    def _best(self, among: Iterable[Candidate]) -> Candidate | None:
        open_ = [c for c in among if c not in self.measured and self.predicted[c] > 0]
        limit = _HOPELESS * max(self.measured.values(), default=0.0)
        open_ = [c for c in open_ if self.score(c) >= limit]
        if not open_:
            return None
        top = max(map(self.score, open_))
        alike = [c for c in open_ if self.score(c) >= (1 - _TIE) * top]
        return min(alike, key=lambda c: (-self._distance(c), c.queue_delay_us, c.max_batch_size, c))

    def _distance(self, candidate: Candidate) -> float:
        """Return how far it is from what was measured of its group, in doublings of the batch."""
        own = [c for c in self.measured if group(c) == group(candidate)]
        sizes = [abs(math.log2(max(1, c.max_batch_size) / max(1, candidate.max_batch_size))) for c in own]
        return min(sizes, default=0.0)


def group(candidate: Candidate) -> Group:
    """Return what candidates have in common that differ in batch and delay only."""
    return candidate.variant, candidate.instances, candidate.threads


def drawn_up(candidates: Sequence[Candidate], arithmetic: Arithmetic, room: int) -> tuple[Field, tuple[str, ...]]:
    """Return the candidates that may be among the best on paper, and why the others are not, a line each.

    Where there is ``room`` for more measurements, those that come next are not left out.
    """
    predicted = {candidate: arithmetic.capacity(candidate) for candidate in candidates}
    top = max(predicted.values(), default=0.0)
    late = [c for c, rate in predicted.items() if rate <= 0]
    order = sorted((c for c in predicted if predicted[c] > 0), key=lambda c: (-predicted[c], c))
    kept = {c: predicted[c] for n, c in enumerate(order) if n < room or predicted[c] >= _HOPELESS * top}
    poor = [c for c in order if c not in kept]
    why = [f"{len(candidates)} ways to serve it, by the arithmetic: the best holds about {top:.4g} requests a second"]
    if late:
        why.append(f"{_count(late)} not measured: alone, a batch would take longer than the p99 allows")
    if poor:
        why.append(
            f"{_count(poor)} not measured: on paper at most {max(predicted[c] for c in poor) / top:.0%} of the best"
        )
    return Field(predicted=kept), tuple(why)


def _count(left: Sequence[Candidate]) -> str:
    return f"{len(left)} {'was' if len(left) == 1 else 'were'}"
