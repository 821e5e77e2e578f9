"""What ``_text`` says in ONNX, in plain numpy; and what values tell of their meaning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kit.heads._text import foreground
from kit.types import Layout

Floats = npt.NDArray[np.float32]

_WHOLE = 1.5
"""Fractions of a frame reach 1, and a few boxes stick out of it; in pixels, few numbers are so small."""

_MOST = 0.9

_ROUNDING = 1e-3
_FEWEST_BOXES = 8


def floats(array: npt.NDArray[np.generic]) -> Floats:
    """Return FP32, as the graph casts FP16."""
    return array.astype(np.float32)


def from_centres(centre: Floats, size: Floats) -> Floats:
    """Return x1, y1, x2, y2 [N, A, 4] of centres and sizes [N, A, 2]."""
    half = size * np.float32(0.5)
    return np.concatenate([centre - half, centre + half], axis=2)


def in_pixels(boxes: Floats, layout: Layout) -> Floats:
    """Return boxes [N, A, 4] of fractions of the frame as pixels; pixels as they are."""
    if "fractions" not in layout.words or layout.frame is None:
        return boxes
    height, width = layout.frame
    return boxes * np.array([width, height, width, height], np.float32)


def to_corners(boxes: Floats, layout: Layout) -> Floats:
    """Return the corners of boxes [N, A, 4] in pixels that are centres and sizes, or corners."""
    return boxes if "corners" in layout.words else from_centres(boxes[..., :2], boxes[..., 2:])


def scored(scores: Floats, layout: Layout) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the best probability and its class, each [N, A], of scores [N, A, columns]."""
    first, end = foreground(scores.shape[2], layout)
    if "softmax" in layout.words:
        powers = np.exp(scores - scores.max(axis=2, keepdims=True))
        scores = powers / powers.sum(axis=2, keepdims=True)
    objects = scores[..., first:end]
    best = objects.max(axis=2)
    return (sigmoid(best) if "sigmoid" in layout.words else best), objects.argmax(axis=2)


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without an overflow."""
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


def probable(values: npt.NDArray[np.generic]) -> bool:
    """Tell whether all values are probabilities."""
    wide = values.astype(np.float64)
    return bool(wide.size and np.isfinite(wide).all() and wide.min() >= -_ROUNDING and wide.max() <= 1 + _ROUNDING)


def shares(scores: npt.NDArray[np.generic]) -> bool:
    """Tell whether each row of scores [..., C] sums to 1, as a softmax makes it."""
    return probable(scores) and bool(np.allclose(scores.astype(np.float64).sum(axis=-1), 1, atol=_ROUNDING))


def fractions(boxes: npt.NDArray[np.generic]) -> bool:
    """Tell whether boxes [..., 4] are in fractions of the frame."""
    return bool(boxes.size) and float((np.abs(boxes.astype(np.float64)) <= _WHOLE).mean()) > _MOST


def centred(boxes: npt.NDArray[np.generic]) -> bool | None:
    """Tell whether boxes [..., 4] are centre and size (else corners); None where they are neither, or few differ."""
    wide = boxes.astype(np.float64).reshape(-1, 4)
    if not np.isfinite(wide).all():
        return None
    slack = _ROUNDING * max(1.0, float(np.abs(wide).max(initial=0.0)))
    if len(np.unique(np.round(wide / slack), axis=0)) < _FEWEST_BOXES:
        return None
    sizes, corners = bool((wide[:, 2:] >= -slack).all()), bool((wide[:, 2:] >= wide[:, :2] - slack).all())
    # Corners of boxes on a frame have no negative numbers either; centres are seldom all nearer to 0 than their sizes.
    return False if corners else (True if sizes else None)


def dominant(scores: npt.NDArray[np.generic]) -> str | None:
    """Return which end of scores [..., C] nearly all rows are largest at, as where nothing is seen."""
    flat = scores.reshape(-1, scores.shape[-1])
    largest = flat.argmax(axis=1)
    for word, column in (("background-first", 0), ("background-last", flat.shape[1] - 1)):
        if len(flat) >= _FEWEST_BOXES and float((largest == column).mean()) > _MOST:
            return word
    return None


def mostly_negative(logits: npt.NDArray[np.generic]) -> bool:
    """Tell whether nearly no row of logits [..., C] has one above 0."""
    return logits.size > 0 and float((logits.max(axis=-1) < 0).mean()) > _MOST


def spread(centre: npt.NDArray[np.generic], size: npt.NDArray[np.generic], frame: tuple[int, int]) -> bool:
    """Tell whether centres [..., 2] lie all over a frame (height, width) in pixels and sizes are none below 0."""
    if not centre.size or not (np.isfinite(centre).all() and np.isfinite(size).all()):
        return False
    far = centre.reshape(-1, 2).max(axis=0)
    return bool(size.min() >= 0 and far[0] > frame[1] / 2 and far[1] > frame[0] / 2)
