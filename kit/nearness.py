"""How far one model's answers are from another's, on the same picture: what is compared, and how it is summed up.

Tensor by tensor, any clipping looks good on a detector's class scores: nearly all anchors are background. So what
counts are the places where either model sees something, and there the score and the box.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kit import tasks
from kit.types import Interpretation

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

_CONFIDENT = 0.05
"""An anchor whose best score is above sees something, in either model."""

_BOXES, _SCORES = "corners", "best"
_MAP_DIMENSIONS = 3


@dataclass(frozen=True, kw_only=True)
class Border:
    """The tensors that are compared. ``boxes`` and ``scores`` are among them where the model is a detector."""

    names: tuple[str, ...]
    boxes: str | None = None
    scores: str | None = None


def border(made: Collection[str], outputs: Sequence[str], meaning: Interpretation) -> Border:
    """Return what is compared: a detector's boxes and scores before the choice among them, else the outputs.

    ``made`` are the tensors that the graph's nodes make.
    """
    inner = {name: f"{meaning.task}/{name}" for name in tasks.get(meaning.task).inner}
    served = meaning.contract == "served" and all(full in made for full in inner.values())
    if served and {_BOXES, _SCORES} <= set(inner):
        return Border(names=tuple(inner.values()), boxes=inner[_BOXES], scores=inner[_SCORES])
    return Border(names=tuple(outputs))


def between(expected: Mapping[str, Array], got: Mapping[str, Array], where: Border) -> float | None:
    """Return one picture's distance: 0 is the same, 1 is lost; None where neither model sees anything."""
    if where.boxes is not None and where.scores is not None:
        return _detections_apart(
            expected[where.boxes], got[where.boxes], expected[where.scores], got[where.scores]
        )  # fmt: skip
    parts = [_values_apart(expected[name], got[name]) for name in where.names]
    known: Sequence[float] = [part for part in parts if part is not None]
    return float(np.mean(known)) if known else None


def _detections_apart(boxes: Array, other_boxes: Array, scores: Array, other_scores: Array) -> float | None:
    """Return the mean change of score and of place, in parts of the box's size, of anchors that see something."""
    before, after = scores.astype(np.float64), other_scores.astype(np.float64)
    if not np.isfinite(after).all() or not np.isfinite(other_boxes).all():
        return 1.0
    seen = np.maximum(before, after) > _CONFIDENT
    if not seen.any():
        return None
    old, new = boxes.astype(np.float64)[seen], other_boxes.astype(np.float64)[seen]
    size = np.maximum(np.maximum(old[:, 2] - old[:, 0], old[:, 3] - old[:, 1]), 1.0)
    moved = np.minimum(np.abs(new - old).mean(axis=1) / size, 1.0)
    return float((np.minimum(np.abs(after - before)[seen], 1.0).mean() + moved.mean()) / 2)


def _values_apart(expected: Array, got: Array) -> float | None:
    """Return the root mean square error in parts of the output's spread; of maps of classes, the share that differs."""
    if not np.issubdtype(expected.dtype, np.floating):
        return float(np.mean(expected != got)) if expected.ndim >= _MAP_DIMENSIONS else None
    before, after = expected.astype(np.float64), got.astype(np.float64)
    if before.shape != after.shape or not np.isfinite(after).all():
        return 1.0
    if not before.size:
        return None
    spread = float(before.std()) or 1.0
    return min(1.0, float(np.sqrt(np.mean((after - before) ** 2))) / spread)
