"""Boxes: mAP as COCO has it, over IoUs from 0.50 to 0.95 and at 0.50."""

from __future__ import annotations

from kit.accuracy.answers import Answers
from kit.accuracy.metrics import _boxes, _coco
from kit.accuracy.metrics.interface import Tally
from kit.accuracy.types import Arrays, Find
from kit.accuracy.validation import Validation


class Detect:
    """Finds and objects are held against each other in the frame: scaling changes no IoU."""

    name = "detect"
    tools = ("pycocotools", "numpy")

    def require(self) -> None:
        """Pycocotools. Raises ``MissingExtraError``."""
        _coco.require()

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """The rows that are detections."""
        return _boxes.keep(outputs, index)

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
        """Match by pycocotools. Raises ``MissingExtraError``."""
        if validation.truth is not None:
            truth, met = _boxes.marked(validation, answers.head.frame), validation.most_classes
        else:
            truth, met = _boxes.confident(reference or answers), 0
        classes = _coco.class_count(answers, reference, validation.class_count, met)
        found = [_coco.rows(kept) for kept in answers.each()]
        return _coco.tally("bbox", truth, found, classes, labelled=validation.truth is not None)

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:
        """By finds above the threshold."""
        return _boxes.apart(first, second, threshold)

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:
        """The finds above the threshold."""
        return _boxes.shown(kept, threshold)

    def predictions(self, kept: Arrays) -> Arrays:
        """``boxes`` [K, 4], ``scores`` [K], ``classes`` [K]."""
        return dict(kept)


MEMBER = Detect()
