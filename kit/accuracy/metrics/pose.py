"""Boxes with keypoints: mAP by object keypoint similarity (OKS), and that of boxes beside it."""

from __future__ import annotations

from dataclasses import replace

from kit.accuracy.answers import Answers
from kit.accuracy.metrics import _boxes, _coco
from kit.accuracy.metrics._coco import Things
from kit.accuracy.metrics.interface import Tally
from kit.accuracy.types import Arrays, Find, Floats, Objects
from kit.accuracy.validation import Validation

_PERSON = 17
_VISIBLE = 0.5


class Pose:
    """OKS with COCO's own tolerances for a person's 17 points; for others 1 / K each, as Ultralytics has it."""

    name = "pose"
    tools = ("pycocotools", "numpy")

    def require(self) -> None:
        """Pycocotools. Raises ``MissingExtraError``."""
        _coco.require()

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """The rows that are detections."""
        return _boxes.keep(outputs, index, also=("keypoints",))

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
        """Match by pycocotools, keypoints and boxes apart. Raises ``MissingExtraError``."""
        import numpy as np

        labelled = validation.truth is not None
        pointed = not labelled or any(
            isinstance(one, Objects) and one.keypoints is not None for one in validation.truth or ()
        )
        truth = _marked(validation, answers) if labelled else _confident(reference or answers)
        found = [replace(_coco.rows(kept), keypoints=kept["keypoints"].astype(np.float64)) for kept in answers.each()]
        met = validation.most_classes if labelled else 0
        classes = _coco.class_count(answers, reference, validation.class_count, met)
        boxes = _coco.tally("bbox", truth, found, classes, labelled=labelled, prefix="box " if pointed else "")
        if not pointed:
            return boxes
        points = answers.columns["keypoints"].shape[1]
        sigmas = None if points == _PERSON else np.full(points, 1 / points)
        poses = _coco.tally("keypoints", truth, found, classes, labelled=labelled, prefix="pose ", sigmas=sigmas)
        return replace(poses, names=(*poses.names, *boxes.names), more=(boxes,))

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:
        """By finds above the threshold."""
        return _boxes.apart(first, second, threshold)

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:
        """The finds above the threshold."""
        return _boxes.shown(kept, threshold)

    def predictions(self, kept: Arrays) -> Arrays:
        """``boxes`` [K, 4], ``scores`` [K], ``classes`` [K], ``keypoints`` [K, P, 3]."""
        return dict(kept)


def _marked(validation: Validation, answers: Answers) -> list[Things]:
    assert validation.truth is not None
    made = []
    points = answers.columns["keypoints"].shape[1]
    things = _boxes.marked(validation, answers.head.frame)
    for one, truth, size in zip(things, validation.truth, validation.sizes, strict=True):
        assert isinstance(truth, Objects)
        made.append(replace(one, keypoints=_moved(truth, size, answers.head.frame, points)))
    return made


def _moved(truth: Objects, size: tuple[int, int], frame: tuple[int, int], points: int) -> Floats:
    """Return marked keypoints in pixels of the frame; none marked where the set has none."""
    import numpy as np

    if truth.keypoints is None:
        return np.zeros((len(truth), points, 3))
    moved: Floats = truth.keypoints.copy()
    box = _boxes.letterbox(size, frame)
    doubled = np.concatenate([moved[:, :, :2], moved[:, :, :2]], axis=2).reshape(-1, 4)
    moved[:, :, :2] = _boxes.to_frame(doubled, box).reshape(len(truth), -1, 4)[:, :, :2]
    return moved


def _confident(reference: Answers) -> list[Things]:
    """Return the finds above the threshold; a point that the model does not see is not marked."""
    import numpy as np

    made = []
    for one, kept in zip(_boxes.confident(reference), reference.each(), strict=True):
        sure = kept["scores"].astype(np.float64) >= (reference.head.threshold or 0.0)
        keypoints = kept["keypoints"][sure].astype(np.float64)
        keypoints[:, :, 2] = keypoints[:, :, 2] > _VISIBLE
        made.append(replace(one, keypoints=keypoints))
    return made


MEMBER = Pose()
