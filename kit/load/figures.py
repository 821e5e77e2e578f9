"""Figures of a load: what the counts of all generators come to, for any part of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kit.load.histogram import Histogram, merged
from kit.load.values import Cell

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_Key = TypeVar("_Key")


@dataclass(frozen=True, kw_only=True)
class Times:
    """A distribution in milliseconds; None where there is no value."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None

    def percentile(self, percent: float) -> float | None:
        """Return one of ``PERCENTILES``."""
        names = dict(zip(PERCENTILES, (self.p50_ms, self.p90_ms, self.p95_ms, self.p99_ms, self.p999_ms), strict=True))
        return names[percent]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came of the requests that were due in ``seconds``.

    ``target_rate`` is requests due a second, ``rate`` those that were answered, ``inference_rate`` their batch
    elements. ``failed`` counts errors, late and refused ones. ``response`` counts from when a request was due,
    ``service`` from when it was sent, ``lag`` from due to sent.
    """

    seconds: float
    due: int
    answered: int
    late: int
    refused: int
    failed: int
    errors: dict[str, int]
    target_rate: float
    rate: float
    inference_rate: float
    response: Times
    service: Times
    lag: Times

    @property
    def fail_ratio(self) -> float:
        """The share of requests that failed; 0 where there were none."""
        return self.failed / self.due if self.due else 0.0


def times(histogram: Histogram) -> Times:
    """Return a histogram's figures."""
    p50, p90, p95, p99, p999 = (histogram.percentile_ms(percent) for percent in PERCENTILES)
    return Times(
        count=histogram.count,
        mean_ms=histogram.mean_ms(),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=histogram.percentile_ms(100),
    )


def figures(cells: Sequence[Cell], seconds: float, batches: dict[str, int]) -> Figures:
    """Add cells up. ``batches`` is the batch size of each model's requests."""
    errors: dict[str, int] = {}
    for cell in cells:
        for text, count in cell.errors.items():
            errors[text] = errors.get(text, 0) + count
    due, answered = sum(c.due for c in cells), sum(c.answered for c in cells)
    length = max(seconds, 1e-9)
    return Figures(
        seconds=seconds,
        due=due,
        answered=answered,
        late=sum(c.late for c in cells),
        refused=sum(c.refused for c in cells),
        failed=sum(c.failed for c in cells),
        errors=dict(sorted(errors.items(), key=lambda item: -item[1])),
        target_rate=due / length,
        rate=answered / length,
        inference_rate=sum(c.answered * batches.get(c.model, 1) for c in cells) / length,
        response=times(merged(c.response for c in cells)),
        service=times(merged(c.service for c in cells)),
        lag=times(merged(c.lag for c in cells)),
    )


def grouped(cells: Iterable[Cell], key: Callable[[Cell], _Key]) -> dict[_Key, list[Cell]]:
    """Return cells by a key, in its order."""
    found: dict[Any, list[Cell]] = {}
    for cell in cells:
        found.setdefault(key(cell), []).append(cell)
    return dict(sorted(found.items()))
