"""Average precision as COCO defines it, under any weighting of the pictures.

What pycocotools' ``COCOeval.evaluate`` finds in each picture is sorted once; ``accumulate`` is then done for many
resamples at a time. A picture that is drawn k times counts k times, and the result is that of k copies of it: recall
rises only at right finds, and COCO takes the best precision from there on. (Of equal scores in one picture, COCO would
mix those of the copies; here each keeps its place.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kit.accuracy.metrics.interface import Objects, Sums
from kit.accuracy.types import Floats, Ints

_LARGEST_BLOCK = 4_000_000
"""Numbers in the largest array that is made: 32 MB."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The finds of one class over all pictures, best score first.

    ``image`` [n] is the picture of each; ``hits`` are, for each IoU, the positions of those that are right, and
    ``ignored`` of those that do not count. ``positives`` [N] counts the objects of each picture.
    """

    image: Ints
    hits: tuple[Ints, ...]
    ignored: tuple[Ints, ...]
    positives: Ints


@dataclass(frozen=True, kw_only=True)
class PrecisionTally:
    """The curves of all classes. ``names`` are of mAP over all IoUs, and at the first IoU, which is 0.5.

    ``recalls`` [101] are the recalls at which precision is read off; ``more`` are tallies whose numbers are told too.
    """

    names: tuple[str, ...]
    labelled: bool
    curves: tuple[Curve, ...]
    recalls: Floats
    instances: Ints
    objects: Objects | None
    more: tuple[PrecisionTally, ...] = ()

    def at(self, weights: Ints) -> Sums:
        """Return mAP over all IoUs and at 0.5, and each class's own over all IoUs; NaN for a class without objects."""
        every = np.stack([self._of_class(curve, weights) for curve in self.curves], axis=1)  # [B, C, T]
        known = ~np.isnan(every[:, :, 0])
        count = np.maximum(known.sum(axis=1), 1)
        filled = np.where(known[:, :, None], every, 0.0)
        numbers = np.stack([filled.mean(axis=2).sum(axis=1) / count, filled[:, :, 0].sum(axis=1) / count], axis=1)
        numbers = np.concatenate([numbers, *[tally.at(weights).numbers for tally in self.more]], axis=1)
        return Sums(numbers=numbers, classes=np.where(known, filled.mean(axis=2), np.nan))

    def _of_class(self, curve: Curve, weights: Ints) -> Floats:
        """Return [B, T] average precisions, in blocks that fit the memory."""
        rows = max(1, _LARGEST_BLOCK // max(1, len(curve.image)))
        blocks = [self._block(curve, weights[at : at + rows]) for at in range(0, len(weights), rows)]
        return np.concatenate(blocks)

    def _block(self, curve: Curve, weights: Ints) -> Floats:
        positives = weights @ curve.positives
        passed = _passed(self.recalls, positives)
        seen = np.cumsum(weights.take(curve.image, axis=1), axis=1)
        found = np.full((len(weights), len(curve.hits)), np.nan)
        for at, (hits, ignored) in enumerate(zip(curve.hits, curve.ignored, strict=True)):
            right = np.cumsum(weights.take(curve.image[hits], axis=1), axis=1)
            total = seen.take(hits, axis=1)
            if len(ignored):
                left_out = np.cumsum(weights.take(curve.image[ignored], axis=1), axis=1)
                left_out = np.concatenate([np.zeros((len(weights), 1), left_out.dtype), left_out], axis=1)
                total = total - left_out.take(np.searchsorted(ignored, hits), axis=1)
            found[:, at] = _average(right, total, passed, len(self.recalls))
        found[positives == 0] = np.nan
        return found


def _passed(recalls: Floats, positives: Ints) -> Ints:
    """Return [B, P + 1] how many of the recalls are reached by 0, 1, ... right finds of each row's ``positives``."""
    counts = np.arange(int(positives.max(initial=0)) + 1)
    reached = np.searchsorted(recalls, counts / np.maximum(positives, 1)[:, None], side="right")
    return reached.astype(np.int64)


def _average(right: Ints, total: Ints, passed: Ints, recalls: int) -> Floats:
    """Return the mean over recalls of the best precision at that recall or more; 0 where it is not reached."""
    rows, hits = right.shape
    if hits == 0:
        return np.zeros(rows)
    precision = right / np.maximum(total, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    upto = passed.ravel().take(right + (np.arange(rows) * passed.shape[1])[:, None])
    upto[:, 1:] -= upto[:, :-1].copy()  # how many recalls are reached by this find first
    average: Floats = np.einsum("bh,bh->b", best, upto) / recalls
    return average


def curves(evaluated: Sequence[dict[str, object] | None], images: int, classes: int, ious: int) -> tuple[Curve, ...]:
    """Return the curves of ``COCOeval.evalImgs`` for one area range: class by class, in each picture by picture."""
    return tuple(_curve(evaluated[images * c : images * (c + 1)], ious) for c in range(classes))


def _curve(pictures: Sequence[dict[str, object] | None], ious: int) -> Curve:
    positives = np.zeros(len(pictures), np.int64)
    scores: list[npt.ArrayLike] = [np.zeros(0)]
    image: list[Ints] = [np.zeros(0, np.int64)]
    matched: list[npt.ArrayLike] = [np.zeros((ious, 0), bool)]
    ignored: list[npt.ArrayLike] = [np.zeros((ious, 0), bool)]
    for index, one in enumerate(pictures):
        if one is None:
            continue
        positives[index] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
        found = np.asarray(one["dtScores"], np.float64)
        scores.append(found)
        image.append(np.full(len(found), index, np.int64))
        matched.append(np.asarray(one["dtMatches"]) != 0)
        ignored.append(np.asarray(one["dtIgnore"], bool))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    skip = np.concatenate(ignored, axis=1)[:, order]
    hit = np.concatenate(matched, axis=1)[:, order] & ~skip
    return Curve(
        image=np.concatenate(image)[order],
        hits=tuple(np.flatnonzero(row) for row in hit),
        ignored=tuple(np.flatnonzero(row) for row in skip),
        positives=positives,
    )
