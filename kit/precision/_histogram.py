"""Ranges of activations: what was seen, in bounded memory, and four ways to choose a range from it.

A tensor's values are counted in bins around zero. The reach of the bins is a power of two that doubles as larger values
come, when neighbours are merged: the result does not depend on the order of the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]

BINS = 4096
_COARSE = 512
_STEPS = 16
_PERCENTILE = 99.99
_KL_LEVELS = 128
_KL_STRIDE = 32
_SMALLEST = 2.0**-100


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of one tensor: its exact limits, and a sample of its values in bins over [-reach, reach]."""

    low: float
    high: float
    reach: float
    counts: Counts

    def floored(self, floor: float) -> Seen:
        """Return the same where all that is below ``floor`` is seen as that."""
        if self.low >= floor or not self.reach:
            return self
        place = max(0, int((floor + self.reach) * (BINS / (2 * self.reach))))
        counts = self.counts.copy()
        counts[place] += counts[:place].sum()
        counts[:place] = 0
        return Seen(low=floor, high=self.high, reach=self.reach, counts=counts)

    @property
    def largest(self) -> float:
        """The largest absolute value."""
        return max(-self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The numbers that a quantised tensor can take: ``levels`` steps; a ``symmetric`` one has as many on each side."""

    levels: int = 255
    symmetric: bool = False

    def step(self, low: float, high: float) -> float:
        """Return the distance of two neighbours where the range is [low, high]."""
        return (2 * max(-low, high) if self.symmetric else high - low) / self.levels


Method = Callable[[Seen, Grid], tuple[float, float]]


def nothing() -> Seen:
    """Return a tensor of which nothing was seen."""
    return Seen(low=0.0, high=0.0, reach=0.0, counts=np.zeros(BINS, np.int64))


def added(seen: Seen, values: npt.NDArray[np.generic], low: float, high: float) -> Seen:
    """Return what was seen with ``values`` too, a sample of numbers whose limits are ``low`` and ``high``."""
    reach = max(seen.reach, _reach(max(-low, high)))
    counts = _widened(seen.counts, seen.reach, reach)
    scale = BINS / (2 * reach) if reach else 0.0  # zeros alone are in the middle, whatever comes later
    places = (values.astype(np.float64) * scale + BINS / 2).astype(np.int64)
    counts = counts + np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)
    return Seen(low=min(seen.low, low), high=max(seen.high, high), reach=reach, counts=counts)


def minmax(seen: Seen, _: Grid) -> tuple[float, float]:
    """Everything that was seen."""
    return seen.low, seen.high


def percentile(seen: Seen, _: Grid) -> tuple[float, float]:
    """All but the outermost hundredth of a percent on each side."""
    total = np.cumsum(seen.counts)
    if not seen.reach:
        return seen.low, seen.high
    edges = np.linspace(-seen.reach, seen.reach, BINS + 1)
    share = (1 - _PERCENTILE / 100) * total[-1]
    low = edges[int(np.searchsorted(total, share, side="right"))]
    high = edges[min(BINS, int(np.searchsorted(total, total[-1] - share)) + 1)]
    return max(seen.low, min(0.0, float(low))), min(seen.high, max(0.0, float(high)))


def entropy(seen: Seen, _: Grid) -> tuple[float, float]:
    """Clip where the distribution of absolute values loses least information (Kullback-Leibler) in 128 steps.

    Source: Migacz, 8-bit Inference with TensorRT, GTC 2017.
    """
    half = BINS // 2
    counts = (seen.counts[half:] + seen.counts[:half][::-1]).astype(np.float64)
    counts[0] = 0.0  # what is exactly zero costs nothing, and is half of what ReLU gives
    last = int(np.max(np.nonzero(counts)[0], initial=0)) + 1
    ends = range(_KL_LEVELS, last + 1, _KL_STRIDE)
    if not ends:
        return seen.low, seen.high
    best = min(ends, key=lambda end: _divergence(counts, end))
    limit = seen.largest if best + _KL_STRIDE > last else best * seen.reach / half
    return max(seen.low, -limit), min(seen.high, limit)


def mse(seen: Seen, grid: Grid) -> tuple[float, float]:
    """Clip where the mean square of rounding and clipping together is least."""
    counts = seen.counts.reshape(_COARSE, -1).sum(axis=1).astype(np.float64)
    if not seen.reach:
        return seen.low, seen.high
    centres = (np.arange(_COARSE) + 0.5) * (2 * seen.reach / _COARSE) - seen.reach
    used = counts > 0
    counts, centres = counts[used], np.clip(centres[used], seen.low, seen.high)
    fractions = np.linspace(1.0, 1.0 / _STEPS, _STEPS)
    if grid.symmetric:
        lows, highs = np.maximum(seen.low, -seen.largest * fractions), np.minimum(seen.high, seen.largest * fractions)
    else:
        lows, highs = (side.ravel() for side in np.meshgrid(seen.low * fractions, seen.high * fractions))
    best = int(np.argmin(_errors(counts, centres, lows, highs, grid)))
    return float(lows[best]), float(highs[best])


METHODS: dict[str, Method] = {"minmax": minmax, "entropy": entropy, "percentile": percentile, "mse": mse}
"""By name, in the order in which they are tried: of equally good ones the first is taken."""


def _errors(counts: Floats, centres: Floats, lows: Floats, highs: Floats, grid: Grid) -> Floats:
    """Return the sum of squares that each range costs."""
    steps = np.array([grid.step(low, high) for low, high in zip(lows, highs, strict=True)])[:, None]
    half = steps * (grid.levels // 2)
    least = -half if grid.symmetric else np.round(lows[:, None] / steps) * steps  # zero itself is on the grid
    rounded = np.clip(np.round(centres / steps) * steps, least, half if grid.symmetric else least + grid.levels * steps)
    return np.asarray(((rounded - centres) ** 2) @ counts)


def _divergence(counts: Floats, end: int) -> float:
    """Return KL(P || Q) where P is clipped at ``end`` and Q is P in few steps."""
    reference = counts[:end].copy()
    reference[-1] += counts[end:].sum()
    present = counts[:end] > 0
    starts = np.linspace(0, end, _KL_LEVELS, endpoint=False).astype(np.int64)
    totals = np.add.reduceat(counts[:end], starts)
    number = np.add.reduceat(present.astype(np.float64), starts)
    mean = np.divide(totals, number, out=np.zeros_like(totals), where=number > 0)
    quantised = np.repeat(mean, np.diff([*starts, end])) * present
    p, q = reference / max(reference.sum(), 1.0), quantised / max(quantised.sum(), 1.0)
    both = (p > 0) & (q > 0)
    lost = float(p[(p > 0) & (q == 0)].sum())  # what Q says cannot be
    return float(np.sum(p[both] * np.log(p[both] / q[both]))) + lost * 10


def _reach(largest: float) -> float:
    return float(2.0 ** np.ceil(np.log2(max(largest, _SMALLEST)))) if largest > 0 else 0.0


def _widened(counts: Counts, reach: float, wider: float) -> Counts:
    """Return the bins over the same values with a reach that is larger by a power of two."""
    if reach in (0.0, wider):
        return counts
    factor = min(BINS, round(wider / reach))
    inner = counts.reshape(2, -1)
    if factor >= BINS // 2:
        merged = np.array([inner[0].sum(), inner[1].sum()])
    else:
        merged = counts.reshape(-1, factor).sum(axis=1)
    found = np.zeros(BINS, np.int64)
    start = (BINS - len(merged)) // 2
    found[start : start + len(merged)] = merged
    return found
