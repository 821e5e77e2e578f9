"""What a careful engineer writes into the client where the graph ends at the network's own outputs.

In numpy, without a loop over anchors, and scores are filtered before anything else is computed. ``postprocessing.py``
measures it against the served graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_MOST_CANDIDATES = 1000
_APART = np.float32(1e4)
"""Added to boxes per class, so that one pass of NMS keeps classes apart; no picture is as wide."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """As ``--score-threshold``, ``--iou-threshold``, ``--max-detections``."""

    score: float
    iou: float = 0.45
    most: int = 100


@dataclass(frozen=True, kw_only=True)
class Found:
    """Objects of one picture, best first: corners in pixels. ``extras``: masks, keypoints."""

    boxes: Floats
    scores: Floats
    classes: Indices
    extras: Array | None = None


Read = Callable[[dict[str, Array], Limits], Found]


def pixels(frame: npt.NDArray[np.uint8], mean: Floats | None = None, std: Floats | None = None) -> Floats:
    """Return what the network takes, [1, 3, H, W], for a frame [1, H, W, 3]."""
    planes = np.ascontiguousarray(frame.transpose(0, 3, 1, 2), dtype=np.float32)
    planes *= np.float32(1 / 255)
    if mean is not None and std is not None:
        planes -= mean.reshape(1, 3, 1, 1)
        planes /= std.reshape(1, 3, 1, 1)
    return planes


def pixels_bgr(frame: npt.NDArray[np.uint8]) -> Floats:
    """Return [1, 3, H, W] of 0 to 255, blue first, as YOLOX takes it."""
    return np.ascontiguousarray(frame[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)


def suppressed(boxes: Floats, scores: Floats, classes: Indices, limits: Limits) -> Indices:
    """Return the boxes [N, 4] that stay, best first: NMS that keeps classes apart."""
    order = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    moved = boxes[order] + (classes[order] * _APART)[:, None].astype(np.float32)
    area = np.prod(moved[:, 2:] - moved[:, :2], axis=1)
    left = np.arange(len(order))
    kept: list[int] = []
    while len(left) and len(kept) < limits.most:
        best, left = left[0], left[1:]
        kept.append(best)
        shared = np.clip(
            np.minimum(moved[best, 2:], moved[left, 2:]) - np.maximum(moved[best, :2], moved[left, :2]), 0, None
        ).prod(axis=1)
        left = left[shared <= np.float32(limits.iou) * (area[best] + area[left] - shared)]
    return order[kept]


def _corners(centred: Floats) -> Floats:
    half = centred[:, 2:4] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)


def _kept(boxes: Floats, scores: Floats, classes: Indices, limits: Limits) -> tuple[Found, Indices]:
    rows = suppressed(boxes, scores, classes, limits)
    return Found(boxes=boxes[rows], scores=scores[rows], classes=classes[rows]), rows


def _yolov8(head: Floats, classes: int, limits: Limits) -> tuple[Found, Floats]:
    """Read [4 + C + E, A]; return what was found and the E numbers of each."""
    scores = head[4 : 4 + classes]
    best = scores.max(axis=0)
    chosen = np.flatnonzero(best > limits.score)
    found, rows = _kept(_corners(head[:4, chosen].T), best[chosen], scores[:, chosen].argmax(axis=0), limits)
    return found, head[4 + classes :, chosen[rows]].T


def yolov8(raw: dict[str, Array], limits: Limits) -> Found:
    """[1, 4 + C, A] of cx, cy, w, h and scores."""
    (head,) = raw.values()
    return _yolov8(head[0].astype(np.float32, copy=False), head.shape[1] - 4, limits)[0]


def yolov8_pose(raw: dict[str, Array], limits: Limits, points: int = 17) -> Found:
    """[1, 4 + C + 3 K, A]: x, y and visibility of K points behind the scores."""
    (head,) = raw.values()
    found, extras = _yolov8(head[0].astype(np.float32, copy=False), head.shape[1] - 4 - 3 * points, limits)
    return Found(boxes=found.boxes, scores=found.scores, classes=found.classes, extras=extras.reshape(-1, points, 3))


def yolov8_masks(raw: dict[str, Array], limits: Limits) -> Found:
    """[1, 4 + C + P, A] and prototypes [1, P, h, w]: a mask is a mix of prototypes, cut to its box."""
    head, prototypes = (value[0].astype(np.float32, copy=False) for value in raw.values())
    count, height, width = prototypes.shape
    found, mix = _yolov8(head, len(head) - 4 - count, limits)
    masks = (mix @ prototypes.reshape(count, -1)).reshape(-1, height, width) > 0  # the sigmoid is above a half there
    low_x, low_y, high_x, high_y = (found.boxes / 4).T[:, :, None]
    columns, rows = np.arange(width), np.arange(height)
    inside_x = (columns >= low_x) & (columns < high_x)
    inside_y = (rows >= low_y) & (rows < high_y)
    masks &= inside_y[:, :, None] & inside_x[:, None, :]
    return Found(boxes=found.boxes, scores=found.scores, classes=found.classes, extras=masks.view(np.uint8))


def with_objectness(raw: dict[str, Array], limits: Limits) -> Found:
    """[1, A, 5 + C] of cx, cy, w, h, objectness and scores, as YOLOv5 and a decoded YOLOX have."""
    (head,) = raw.values()
    rows = head[0].astype(np.float32, copy=False)
    rows = rows[rows[:, 4] > limits.score]  # no score is above it where objectness is not
    scores = rows[:, 5:] * rows[:, 4:5]
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(rows)), classes]
    chosen = best > limits.score
    return _kept(_corners(rows[chosen, :4]), best[chosen], classes[chosen], limits)[0]


def end_to_end(raw: dict[str, Array], limits: Limits) -> Found:
    """[1, N, 6] of corners, score and class: nothing but a threshold."""
    (head,) = raw.values()
    rows = head[0].astype(np.float32, copy=False)
    rows = rows[rows[:, 4] > limits.score]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")][: limits.most]
    return Found(boxes=rows[:, :4], scores=rows[:, 4], classes=rows[:, 5].astype(np.intp))


def queries(raw: dict[str, Array], limits: Limits, side: int) -> Found:
    """[1, Q, 4] of cx, cy, w, h from 0 to 1 and logits [1, Q, C], as RF-DETR has."""
    boxes, logits = (value[0].astype(np.float32, copy=False) for value in raw.values())
    scores = 1 / (1 + np.exp(-logits.max(axis=1)))
    chosen = np.flatnonzero(scores > limits.score)
    order = chosen[np.argsort(-scores[chosen], kind="stable")][: limits.most]
    return Found(
        boxes=_corners(boxes[order]) * np.float32(side), scores=scores[order], classes=logits[order].argmax(axis=1)
    )


def pairs(raw: dict[str, Array], limits: Limits) -> Found:
    """Corners [1, A, 4] and scores [1, A, C], as SSD and RetinaNet have before NMS."""
    boxes, scores = (value[0].astype(np.float32, copy=False) for value in raw.values())
    best = scores.max(axis=1)
    chosen = np.flatnonzero(best > limits.score)
    return _kept(boxes[chosen], best[chosen], scores[chosen].argmax(axis=1), limits)[0]


def best_class(raw: dict[str, Array], limits: Limits) -> Found:  # noqa: ARG001 (there is none)
    """Logits [1, C, H, W]: each pixel's class."""
    logits = next(iter(raw.values()))
    return Found(
        boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), classes=np.zeros(0, np.intp),
        extras=logits.argmax(axis=1).astype(np.uint8),
    )  # fmt: skip
