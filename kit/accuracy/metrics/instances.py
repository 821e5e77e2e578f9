"""Boxes with masks: mAP by the overlap of masks, and that of boxes beside it.

Masks are compared at the size that the network gives them in, as Ultralytics' ``val`` does: a quarter of the frame in
YOLO. At the size of the pictures the figure is a little lower, for both models alike.
"""

from __future__ import annotations

from dataclasses import replace

from kit.accuracy.answers import Answers
from kit.accuracy.metrics import _boxes, _coco, _masks
from kit.accuracy.metrics._coco import Things
from kit.accuracy.metrics.interface import Tally
from kit.accuracy.types import Arrays, Find, Objects
from kit.accuracy.validation import Validation


class Instances:
    """Where no outlines are marked, boxes are all that can be compared."""

    name = "instances"
    tools = ("pycocotools", "numpy")

    def require(self) -> None:
        """Pycocotools. Raises ``MissingExtraError``."""
        _coco.require()

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """The rows that are detections, their masks packed."""
        kept = _boxes.keep(outputs, index, also=("masks",))
        return {**kept, **_masks.pack(kept.pop("masks"))}

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
        """Match by pycocotools, masks and boxes apart. Raises ``MissingExtraError``."""
        labelled = validation.truth is not None
        outlined = not labelled or any(isinstance(one, Objects) and one.outlines for one in validation.truth or ())
        truth = _marked(validation, answers) if labelled else _confident(reference or answers)
        found = [replace(_coco.rows(kept), masks=_masks.lengths(_masks.unpack(kept))) for kept in answers.each()]
        met = validation.most_classes if labelled else 0
        classes = _coco.class_count(answers, reference, validation.class_count, met)
        boxes = _coco.tally("bbox", truth, found, classes, labelled=labelled, prefix="box " if outlined else "")
        if not outlined:
            return boxes
        masks = _coco.tally("segm", truth, found, classes, labelled=labelled, prefix="mask ")
        return replace(masks, names=(*masks.names, *boxes.names), more=(boxes,))

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:
        """By finds above the threshold; their masks follow from the same anchors."""
        return _boxes.apart(first, second, threshold)

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:
        """The finds above the threshold."""
        return _boxes.shown(kept, threshold)

    def predictions(self, kept: Arrays) -> Arrays:
        """``boxes`` [K, 4], ``scores`` [K], ``classes`` [K], ``masks`` [K, h, w]."""
        return {**{name: kept[name] for name in ("boxes", "scores", "classes")}, "masks": _masks.unpack(kept)}


def _marked(validation: Validation, answers: Answers) -> list[Things]:
    """Return what is marked, with masks of the size of those that were answered to the same picture."""
    assert validation.truth is not None
    made = []
    things = _boxes.marked(validation, answers.head.frame)
    for one, truth, size, kept in zip(things, validation.truth, validation.sizes, answers.each(), strict=True):
        assert isinstance(truth, Objects)
        _, height, width = (int(side) for side in kept["size"])
        masks = _masks.outlined(truth, size, answers.head.frame, (height, width)) if truth.outlines else None
        made.append(replace(one, masks=masks or [_masks.nothing((height, width))] * len(truth)))
    return made


def _confident(reference: Answers) -> list[Things]:
    import numpy as np

    made = []
    for one, kept in zip(_boxes.confident(reference), reference.each(), strict=True):
        sure = kept["scores"].astype(np.float64) >= (reference.head.threshold or 0.0)
        made.append(replace(one, masks=_masks.lengths(_masks.unpack(kept)[sure])))
    return made


MEMBER = Instances()
