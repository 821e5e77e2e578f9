"""Class-aware NMS and fixed rows in plain numpy: slow, simple, and what the graph is held against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kit.heads.interface import Decoded
from kit.tasks.interface import Arrays
from kit.types import Thresholds

Floats = npt.NDArray[np.float32]


def frames(decoded: Decoded, limits: Thresholds, candidates: int | None) -> Arrays:
    """Return the served rows of N frames, and ``extras`` [N, M, E] of those where there are some.

    ``candidates`` is how many anchors go into NMS; None for heads without NMS.
    """
    made = [_frame(decoded, index, limits, candidates) for index in range(len(decoded.best))]
    return {name: np.stack([frame[name] for frame in made]) for name in made[0]}


def _frame(decoded: Decoded, index: int, limits: Thresholds, candidates: int | None) -> Arrays:
    """Return the fixed rows of one frame."""
    best = decoded.best[index].astype(np.float32)
    boxes, classes = decoded.corners[index].astype(np.float32), decoded.best_class[index]
    order = np.argsort(-best, kind="stable")
    order = order[: limits.max_detections if candidates is None else candidates]
    order = order[best[order] > limits.score]
    if candidates is not None:
        order = _suppress(order, boxes, classes, limits)
    rows = _rows(boxes[order], best[order], classes[order], limits.max_detections)
    if decoded.extras is not None:
        extras = np.zeros((limits.max_detections, decoded.extras.shape[2]), np.float32)
        extras[: len(order)] = decoded.extras[index][order]
        rows["extras"] = extras
    return rows


def _suppress(
    order: npt.NDArray[np.intp], boxes: Floats, classes: npt.NDArray[np.generic], limits: Thresholds
) -> npt.NDArray[np.intp]:
    """Return the anchors that no better one of their class overlaps, one class and one box at a time."""
    most = np.float32(limits.iou)  # as the graph has it: 0.1 is a little more there
    kept: list[int] = []
    for index in order:
        rivals = [k for k in kept if classes[k] == classes[index]]
        if not np.any(_iou(boxes[index], boxes[rivals]) > most):  # that of infinite boxes is no number
            kept.append(index)
        if len(kept) == limits.max_detections:
            break
    return np.array(kept, np.intp)


def _iou(box: Floats, others: Floats) -> Floats:
    """Return how much of a box [4] and each of the others [R, 4] is in both."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        sizes = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        shared = sizes[:, 0] * sizes[:, 1]
        areas = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1)
        ratio: Floats = np.where((sizes > 0).all(axis=1), shared / (areas - shared), np.float32(0))
    return ratio


def _rows(boxes: Floats, scores: Floats, classes: npt.NDArray[np.generic], most: int) -> Arrays:
    rows: Arrays = {
        "num": np.array([len(boxes)], np.int32),
        "boxes": np.zeros((most, 4), np.float32),
        "scores": np.zeros(most, np.float32),
        "classes": np.full(most, -1, np.int32),
    }
    for name, values in (("boxes", boxes), ("scores", scores), ("classes", classes)):
        rows[name][: len(boxes)] = values
    return rows
