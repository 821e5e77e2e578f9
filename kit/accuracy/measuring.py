"""Show every picture of a set to a model and keep its answers: ``measure``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kit.accuracy import answers, metrics
from kit.accuracy.answers import Answers, Head
from kit.accuracy.metrics.interface import Metric
from kit.accuracy.twin import FLOOR
from kit.accuracy.types import Array, Arrays, Company, Fault
from kit.accuracy.validation import Validation, feeds, frame_size, require_frames
from kit.errors import ValidationSetError
from kit.types import Interpretation, Signature

T = TypeVar("T")
Run = Callable[[Mapping[str, Array]], Arrays]
Tell = Callable[[int, int], None]
"""Called with how many pictures are done, and of how many."""

_LARGEST_BATCH = 8
_AT_A_TIME = 8


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def measure(
    run: Run, validation: Validation, meaning: Interpretation, signature: Signature, tell: Tell = _silent,
    *, largest: int = _LARGEST_BATCH, lowered: bool = True,
) -> Answers:  # fmt: skip
    """Return a model's answers to all pictures; memory does not grow with their size, only with what is kept of each.

    ``run`` asks the model. A detector must be an ``evaluation_twin``, or say with ``lowered=False`` that it keeps its
    served threshold. The first pictures are asked again at batch 1, 2 and ``largest``: strangers must not change an
    answer. Raises ``ValidationSetError``, ``MissingExtraError`` before the first picture, and what ``run`` raises.
    """
    if not len(validation):
        raise ValidationSetError("there is no picture to validate on")
    metric, frame = metrics.of(meaning), require_frames(signature)
    metric.require()
    limits = meaning.thresholds if meaning.contract == "served" else None
    counted = _Counted(metric, run)
    batch = frame.shape[0] if frame.shape[0] > 0 else min(_AT_A_TIME, largest)
    kept: list[Arrays] = []
    for asked in _ahead(validation.feeds(signature, batch)):
        kept += counted.ask(asked, batch)
        tell(len(kept), len(validation))
    threshold = None if limits is None else limits.score
    company = () if frame.shape[0] > 0 else _company(metric, run, validation, signature, largest, threshold or 0.0)
    head = Head(
        task=metric.name,
        frame=frame_size(frame),
        pictures=len(kept),
        threshold=threshold,
        floor=0.0 if threshold is None else (FLOOR if lowered else threshold),
        faults=tuple(Fault(output=name, pictures=count) for name, count in counted.faults.items()),
        company=company,
    )
    return answers.gather(head, kept)


class _Counted:
    """Asks a model, and counts the pictures whose outputs have numbers that are none."""

    def __init__(self, metric: Metric, run: Run) -> None:
        self.faults: dict[str, int] = {}
        self._metric, self._run = metric, run

    def ask(self, asked: Arrays, batch: int) -> list[Arrays]:
        """Return what is kept of the answer to each picture; a last batch that is not full is filled up."""
        import numpy as np

        count = len(next(iter(asked.values())))
        filled = {n: np.concatenate([a, np.repeat(a[-1:], batch - count, 0)]) if count < batch else a
                  for n, a in asked.items()}  # fmt: skip
        given = {name: value[:count] for name, value in self._run(filled).items()}
        for name, value in given.items():
            if np.issubdtype(value.dtype, np.floating):
                broken = int((~np.isfinite(value.reshape(count, -1))).any(axis=1).sum())
                if broken:
                    self.faults[name] = self.faults.get(name, 0) + broken
        return [self._metric.keep(given, index) for index in range(count)]


def _company(
    metric: Metric, run: Run, validation: Validation, signature: Signature, largest: int, threshold: float
) -> tuple[Company, ...]:
    """Ask for the same pictures alone and in batches; pictures from all over the set."""
    import numpy as np

    total = len(validation)
    count = min(largest, total)
    chosen = [validation.pictures[index * total // count] for index in range(count)]
    (asked,) = feeds(chosen, signature, count)
    sizes = [size for size in sorted({2, largest}) if 1 < size <= count]
    if not sizes:
        return ()
    alone = [metric.keep(run(_part(asked, slice(i, i + 1))), 0) for i in range(count)]
    found = []
    for size in sizes:
        given = run(_part(asked, slice(0, size)))
        apart = [metric.apart(alone[i], metric.keep(given, i), threshold) for i in range(size)]
        found.append(Company(batch=size, difference=float(np.max(apart))))
    return tuple(found)


def _part(asked: Arrays, rows: slice) -> Arrays:
    import numpy as np

    return {name: np.ascontiguousarray(value[rows]) for name, value in asked.items()}


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; the next one is made in another thread while the last one is worked on."""
    end = object()
    with ThreadPoolExecutor(max_workers=1) as side:
        job = side.submit(next, items, end)
        while (item := job.result()) is not end:
            job = side.submit(next, items, end)
            yield item  # type: ignore[misc]
