"""Class-aware NMS in plain numpy: slow, simple, and what the graph is held against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kit.tasks.interface import Arrays
from kit.types import Thresholds

_BOX = 4


def frames(head: npt.NDArray[np.generic], limits: Thresholds, candidates: int) -> Arrays:
    """Return the served outputs for a head [N, 4 + C, A] of cx, cy, w, h and class probabilities."""
    made = [_suppress(frame, limits, candidates) for frame in head.astype(np.float32)]
    return {name: np.stack([frame[name] for frame in made]) for name in ("num", "boxes", "scores", "classes")}


def _suppress(frame: npt.NDArray[np.float32], limits: Thresholds, candidates: int) -> Arrays:
    """Return the fixed rows of one frame [4 + C, A]."""
    probabilities = frame[_BOX:]
    best = probabilities.max(axis=0)
    order = np.argsort(-best, kind="stable")[:candidates]
    order = order[best[order] > limits.score]
    classes = probabilities.argmax(axis=0)[order]
    centre, half = frame[:2, order].T, frame[2:_BOX, order].T * np.float32(0.5)
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    most = np.float32(limits.iou)  # as the graph has it: 0.1 is a little more there
    kept: list[int] = []
    for index in range(len(order)):
        rivals = [k for k in kept if classes[k] == classes[index]]
        if all(_iou(boxes[index], boxes[k]) <= most for k in rivals):
            kept.append(index)
    kept = kept[: limits.max_detections]
    return _rows(boxes[kept], best[order][kept], classes[kept], limits.max_detections)


def _iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def _rows(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], most: int
) -> Arrays:
    rows: Arrays = {
        "num": np.array([len(boxes)], np.int32),
        "boxes": np.zeros((most, 4), np.float32),
        "scores": np.zeros(most, np.float32),
        "classes": np.full(most, -1, np.int32),
    }
    for name, values in (("boxes", boxes), ("scores", scores), ("classes", classes)):
        rows[name][: len(boxes)] = values
    return rows
