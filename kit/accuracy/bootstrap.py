"""How sure a difference is: the same pictures drawn again and again, for both models at once.

The paired bootstrap of Efron and Tibshirani (An Introduction to the Bootstrap, 1993, chapter 13): a picture is drawn
with both models' answers to it, so that what makes pictures easy or hard cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kit.accuracy.metrics.interface import Tally
from kit.accuracy.types import Floats, Interval, Ints

RESAMPLES = 1000
_SEED = 20_140  # any; the same for ever, so that two runs say the same
_AT_A_TIME = 100
_INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Drops:
    """What is lost from one tally to another: of the metric, and of each class (None: it is nowhere)."""

    metric: Interval
    classes: tuple[Interval | None, ...]


def drops(before: Tally, after: Tally, pictures: int, resamples: int = RESAMPLES) -> Drops:
    """Return what is lost, with intervals. Memory does not grow with the number of resamples."""
    once = np.ones((1, pictures), np.int64)
    point, by_class = _difference(before, after, once)
    numbers, classes = [], []
    for weights in draws(pictures, resamples):
        number, of_classes = _difference(before, after, weights)
        numbers.append(number)
        classes.append(of_classes)
    columns = np.concatenate(classes) if classes else np.zeros((0, by_class.shape[1]))
    return Drops(
        metric=interval(float(point[0]), np.concatenate(numbers) if numbers else np.zeros(0)),
        classes=tuple(
            None if np.isnan(value) else interval(float(value), columns[:, index])
            for index, value in enumerate(by_class[0])
        ),
    )


def draws(pictures: int, resamples: int, at_a_time: int = _AT_A_TIME) -> Iterator[Ints]:
    """Yield [up to ``at_a_time``, pictures] how often each picture is drawn; the same numbers in every run."""
    generator = np.random.default_rng(_SEED)
    left = resamples
    while left > 0:
        size = min(at_a_time, left)
        left -= size
        drawn = generator.integers(0, pictures, (size, pictures)) + (np.arange(size) * pictures)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * pictures).reshape(size, pictures)


def interval(point: float, resampled: Floats) -> Interval:
    """Return the 95 % interval of a number that is ``point`` on the pictures themselves.

    The spread of the resamples about their own median, put around the point: average precision of pictures that are
    there twice is a little higher, which is no news of the model.
    """
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Interval(point=point, low=point, high=point)
    low, middle, high = np.quantile(known, (_INTERVAL[0], 0.5, _INTERVAL[1]))
    return Interval(point=point, low=point + float(low - middle), high=point + float(high - middle))


def _difference(before: Tally, after: Tally, weights: Ints) -> tuple[Floats, Floats]:
    first, second = before.at(weights), after.at(weights)
    return first.numbers[:, 0] - second.numbers[:, 0], first.classes - second.classes
