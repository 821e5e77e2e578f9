"""How far two streams of the same tensor are apart: sums that grow with each pair, so that no tensor is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"

_BLOCK = 1 << 13
"""Elements that are widened to float64 at a time: they fit into a core's cache, and OpenBLAS does not share them out.

Shared out over two busy cores, a dot product took 50 times as long.
"""

_SILENCE = 1e-12
"""Mean square below which a tensor is all zeros, rounded."""

CEILING_DB = 160.0
"""SQNR of tensors that are equal; FP32 has 24 bits, which is 144 dB."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The difference of two tensors over all that was seen of them.

    ``sqnr_db`` is 10 log10(sum of squares / sum of squared differences), at most 160 where they are equal.
    ``maximum`` is the largest absolute difference, ``largest`` the largest absolute value of the first. ``nan`` counts
    elements that are no number in the second alone, or infinite there alone.
    """

    sqnr_db: float
    cosine: float
    maximum: float
    largest: float
    nan: int
    elements: int


class Meter:
    """Adds up the differences of pairs of arrays."""

    def __init__(self) -> None:
        self._signal = self._noise = self._other = self._product = 0.0
        self._maximum = self._largest = 0.0
        self._nan = self._elements = 0

    def add(self, expected: Array, got: Array) -> None:
        """Take in a pair of the same shape; numbers of any type, of which NaN in both are left out."""
        flat, other = expected.reshape(-1), got.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            self._add(flat[start : start + _BLOCK], other[start : start + _BLOCK])

    def _add(self, expected: Array, got: Array) -> None:
        import numpy as np

        wide, other = expected.astype(np.float64), got.astype(np.float64)
        self._elements += wide.size
        with np.errstate(invalid="ignore"):
            apart = wide - other
        noise, signal = float(np.dot(apart, apart)), float(np.dot(wide, wide))
        if not math.isfinite(noise + signal):  # of infinity in both, the difference is no number either
            finite = np.isfinite(wide) & np.isfinite(other)
            same = (wide == other) | (np.isnan(wide) & np.isnan(other))
            self._nan += int(np.count_nonzero(~finite & ~same))
            wide, other = wide[finite], other[finite]
            apart = wide - other
            noise, signal = float(np.dot(apart, apart)), float(np.dot(wide, wide))
        self._noise += noise
        self._signal += signal
        self._other += float(np.dot(other, other))
        self._product += float(np.dot(wide, other))
        self._maximum = max(self._maximum, _largest(apart))
        self._largest = max(self._largest, _largest(wide))

    def read(self) -> Noise:
        """Return what was seen so far."""
        return Noise(
            sqnr_db=self._sqnr(),
            cosine=self._cosine(),
            maximum=self._maximum,
            largest=self._largest,
            nan=self._nan,
            elements=self._elements,
        )

    def _sqnr(self) -> float:
        floor = _SILENCE * max(1, self._elements)
        if self._noise <= 0.0 or (self._noise < floor and self._signal < floor):
            return CEILING_DB
        if self._signal <= 0.0:
            return -CEILING_DB
        return max(-CEILING_DB, min(CEILING_DB, 10 * math.log10(self._signal / self._noise)))

    def _cosine(self) -> float:
        norm = math.sqrt(self._signal) * math.sqrt(self._other)
        if norm <= 0.0:
            return 1.0 if self._noise <= _SILENCE * max(1, self._elements) else 0.0
        return max(-1.0, min(1.0, self._product / norm))


def _largest(values: npt.NDArray[np.float64]) -> float:
    """Return the largest absolute value, 0 of none; without a copy of all."""
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
