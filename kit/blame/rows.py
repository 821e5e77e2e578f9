"""Detections of two models beside each other: rows in order of score swap places where scores are nearly equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kit.blame.values import Rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"
Floats: TypeAlias = "npt.NDArray[np.float64]"

NAMES = frozenset({"num", "boxes", "scores", "classes"})
"""The outputs of ``kit.tasks`` that are rows of detections."""

_LEAST_IOU = 0.5


@dataclass
class Tally:
    """Counts that grow with each pair of answers."""

    first: int = 0
    second: int = 0
    matched: int = 0
    least_iou: float = 1.0
    largest_score_change: float = 0.0

    def read(self) -> Rows:
        """Return the counts."""
        return Rows(
            first=self.first,
            second=self.second,
            matched=self.matched,
            least_iou=self.least_iou,
            largest_score_change=self.largest_score_change,
        )


def are_rows(outputs: Arrays) -> bool:
    """Tell whether outputs are a served detector's."""
    return set(outputs) >= NAMES and outputs["boxes"].ndim == 3


def align(first: Arrays, second: Arrays, tally: Tally) -> Arrays:
    """Return the second's answers with its rows in the order of those of the first that they match.

    Rows match by class and an IoU of at least 0.5, the surest first. What is left follows in its own order.
    """
    import numpy as np

    moved = {name: value.copy() for name, value in second.items()}
    for frame in range(len(first["boxes"])):
        pairs = _pairs(first, second, frame, tally)
        count = second["boxes"].shape[1]
        order = np.full(count, -1)
        taken = set()
        for left, right in pairs:
            order[left] = right
            taken.add(right)
        rest = iter([row for row in range(count) if row not in taken])
        order = np.array([row if row >= 0 else next(rest) for row in order])
        for name, value in second.items():
            if value.ndim >= 2 and value.shape[:2] == (len(first["boxes"]), count) and name != "num":
                moved[name][frame] = value[frame][order]
    return moved


def _pairs(first: Arrays, second: Arrays, frame: int, tally: Tally) -> list[tuple[int, int]]:
    """Return the matched rows of one frame, and add them to the tally."""
    here, there = (int(side["num"][frame].reshape(-1)[0]) for side in (first, second))
    tally.first += here
    tally.second += there
    overlaps = _overlaps(first["boxes"][frame][:here], second["boxes"][frame][:there])
    pairs, taken = [], set()
    for left in range(here):
        same = first["classes"][frame][left]
        rivals = [r for r in range(there) if r not in taken and second["classes"][frame][r] == same]
        best = max(rivals, key=lambda r: overlaps[left, r], default=None)
        if best is None or overlaps[left, best] < _LEAST_IOU:
            continue
        taken.add(best)
        pairs.append((left, best))
        tally.matched += 1
        tally.least_iou = min(tally.least_iou, float(overlaps[left, best]))
        change = abs(float(first["scores"][frame][left]) - float(second["scores"][frame][best]))
        tally.largest_score_change = max(tally.largest_score_change, change)
    return pairs


def _overlaps(boxes: npt.NDArray[np.generic], others: npt.NDArray[np.generic]) -> Floats:
    """Return the IoU of each box [x1, y1, x2, y2] with each other."""
    import numpy as np

    a, b = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    sizes = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = sizes[..., 0] * sizes[..., 1]
    areas = [np.prod(np.clip(x[..., 2:] - x[..., :2], 0, None), axis=-1) for x in (a, b)]
    whole = areas[0] + areas[1] - shared
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(whole > 0, shared / whole, 0.0)
    return found
