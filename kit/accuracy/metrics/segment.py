"""A class for each pixel: the mean over classes of intersection over union (mIoU)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from kit.accuracy.answers import Answers
from kit.accuracy.metrics import _masks
from kit.accuracy.metrics.interface import Objects, Sums, Tally
from kit.accuracy.types import Array, Arrays, Find, Ints
from kit.accuracy.validation import Validation

_UNMARKED = -1


@dataclass(frozen=True, kw_only=True)
class _Overlap:
    """Pixels of each class in each picture, [N, C]: in the truth, in the answer, in both."""

    names: tuple[str, ...]
    labelled: bool
    truth: Ints
    given: Ints
    both: Ints
    objects: Objects | None

    @property
    def instances(self) -> Ints:
        """How many pictures show each class."""
        counts: Ints = (self.truth > 0).sum(axis=0)
        return counts

    def at(self, weights: Ints) -> Sums:
        """Return mIoU over the classes that are marked somewhere, the share of right pixels, and each class's IoU."""
        import numpy as np

        truth, given, both = (weights @ pixels for pixels in (self.truth, self.given, self.both))
        classes = np.full(truth.shape, np.nan)
        np.divide(both, truth + given - both, out=classes, where=truth > 0)
        known = ~np.isnan(classes)
        mean = np.where(known, classes, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        right = both.sum(axis=1) / np.maximum(truth.sum(axis=1), 1)
        return Sums(numbers=np.stack([mean, right], axis=1), classes=classes)


class Segment:
    """Each picture's map of classes is kept, compressed; the truth is brought to its size."""

    name = "segment"
    tools = ("numpy", "pillow")

    def require(self) -> None:
        """Nothing that the kit has not."""

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """``map`` as bytes, its ``size`` [2], and ``confidence`` [1], the mean score of the chosen classes; or 0."""
        import numpy as np

        classes, confidence = _chosen(outputs, index)
        packed = zlib.compress(np.ascontiguousarray(classes.astype(np.uint16)).tobytes(), 1)
        return {
            "map": np.frombuffer(packed, np.uint8),
            "size": np.array(classes.shape, np.int64),
            "confidence": np.array([confidence], np.float32),
        }

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
        """Count pixels, by the marked masks or by the reference model's maps."""
        import numpy as np

        count = _count(answers, reference, validation)
        others = None if validation.truth is not None else [_map(kept) for kept in (reference or answers).each()]
        counted, confidences = [], []
        for index, kept in enumerate(answers.each()):
            given = _map(kept)
            if others is not None:
                truth = others[index]
            else:
                assert validation.truth is not None
                marked = validation.truth[index]
                assert isinstance(marked, Path)
                truth = _masks.read(marked, answers.head.frame, given.shape, count)
            counted.append(_pixels(truth, given, count))
            confidences.append(float(kept["confidence"][0]))
        truth_, given_, both = (np.stack(part) for part in zip(*counted, strict=True))
        scores = np.array(confidences)
        return _Overlap(
            names=("mIoU", "pixels right"),
            labelled=validation.truth is not None,
            truth=truth_,
            given=given_,
            both=both,
            objects=Objects(scores=scores, false_alarms=np.zeros(0)) if scores.any() else None,
        )

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:  # noqa: ARG002 (there is none)
        """The share of pixels with another class."""
        import numpy as np

        return float(np.mean(_map(first) != _map(second)))

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:  # noqa: ARG002
        """The classes that cover most, with their share of the picture as score."""
        import numpy as np

        classes = _map(kept)
        shares = np.bincount(classes.ravel()) / classes.size
        best = [int(index) for index in np.argsort(-shares, kind="stable")[:5] if shares[index] > 0]
        return tuple(Find(name=str(index), index=index, score=float(shares[index])) for index in best)

    def predictions(self, kept: Arrays) -> Arrays:
        """``classes`` [H, W]."""
        return {"classes": _map(kept)}


def _chosen(outputs: Arrays, index: int) -> tuple[Array, float]:
    """Return the class of each pixel [H, W] and the mean score of these; 0 where there are no scores."""
    import numpy as np

    if "classes" in outputs:
        return outputs["classes"][index], 0.0
    scores = np.nan_to_num(outputs["scores"][index].astype(np.float32))
    if len(scores) == 1:
        lit = scores[0] > 0.5
        return lit.astype(np.uint16), float(np.where(lit, scores[0], 1 - scores[0]).mean())
    return np.argmax(scores, axis=0), float(scores.max(axis=0).mean())


def _map(kept: Arrays) -> Ints:
    import numpy as np

    height, width = (int(side) for side in kept["size"])
    flat = np.frombuffer(zlib.decompress(kept["map"].tobytes()), np.uint16)
    return flat.reshape(height, width).astype(np.int64)


def _count(answers: Answers, reference: Answers | None, validation: Validation) -> int:
    if validation.class_count is not None:
        return max(validation.class_count, 2)
    return 1 + max(int(_map(kept).max(initial=1)) for a in (answers, reference) if a is not None for kept in a.each())


def _pixels(truth: Ints, given: Ints, count: int) -> tuple[Ints, Ints, Ints]:
    """Count pixels of each class where something is marked: in the truth, in the answer, in both."""
    import numpy as np

    marked = truth != _UNMARKED
    truth, given = truth[marked], given[marked]
    three = (truth, given, truth[truth == given])
    first, second, both = (np.bincount(one, minlength=count)[:count].astype(np.int64) for one in three)
    return first, second, both


MEMBER = Segment()
