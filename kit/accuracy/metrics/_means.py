"""Metrics that are means over pictures."""

from __future__ import annotations

from dataclasses import dataclass

from kit.accuracy.metrics.interface import Objects, Sums
from kit.accuracy.types import Floats, Ints


@dataclass(frozen=True, kw_only=True)
class MeanTally:
    """``values`` [N, the names] of each picture; ``of_class`` [N] is its class, where it has one of ``count``."""

    names: tuple[str, ...]
    labelled: bool
    values: Floats
    of_class: Ints | None = None
    count: int = 0
    objects: Objects | None = None

    @property
    def instances(self) -> Ints:
        """How many pictures there are of each class."""
        import numpy as np

        return np.bincount(self._classes(), minlength=self.count)[: self.count].astype(np.int64)

    def at(self, weights: Ints) -> Sums:
        """Return the weighted means, over all pictures and over those of each class."""
        import numpy as np

        numbers = (weights @ self.values) / np.maximum(weights.sum(axis=1, keepdims=True), 1)
        classes = np.full((len(weights), self.count), np.nan)
        for row, weight in enumerate(weights if self.count else ()):
            total = np.bincount(self._classes(), weights=weight, minlength=self.count)
            right = np.bincount(self._classes(), weights=weight * self.values[:, 0], minlength=self.count)
            np.divide(right, total, out=classes[row], where=total > 0)
        return Sums(numbers=numbers, classes=classes)

    def _classes(self) -> Ints:
        import numpy as np

        return np.zeros(0, np.int64) if self.of_class is None else self.of_class
