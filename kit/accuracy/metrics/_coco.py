"""Finds held against what is marked by pycocotools, which is how COCO's own results are made."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.accuracy.answers import Answers
from kit.accuracy.metrics.interface import Objects
from kit.accuracy.types import Arrays, Floats
from kit.errors import MissingExtraError

if TYPE_CHECKING:
    from kit.accuracy.metrics._precision import PrecisionTally

MOST_FINDS = 100
"""Of a class in a picture, as COCO counts."""

_BEYOND = 1e10
"""COCO's largest area: no object is left out for its size."""


@dataclass(frozen=True, kw_only=True)
class Things:
    """Objects or finds of one picture, K of them: ``classes`` [K], ``boxes`` [K, 4] in pixels of the frame.

    ``scores`` [K] are of finds; ``crowd`` [K] and ``areas`` [K] of objects. ``masks`` are COCO's run lengths,
    ``keypoints`` [K, P, 3] in pixels of the frame.
    """

    boxes: Floats
    classes: Any
    scores: Any = None
    crowd: Any = None
    areas: Any = None
    masks: Sequence[Any] | None = None
    keypoints: Floats | None = None


def tally(
    kind: str, marked: Sequence[Things], found: Sequence[Things], classes: int, *, labelled: bool, prefix: str = "",
    sigmas: Floats | None = None,
) -> PrecisionTally:  # fmt: skip
    """Match finds to objects in each picture: ``kind`` is COCO's ``bbox``, ``segm`` or ``keypoints``.

    Raises ``MissingExtraError``.
    """
    import numpy as np

    from kit.accuracy.metrics import _precision

    require()

    evaluation = _evaluate(kind, marked, found, classes, sigmas)
    ious = len(evaluation.params.iouThrs)
    results = evaluation.evalImgs
    counts = np.zeros(classes, np.int64)
    for one in marked:
        solid = one.classes if one.crowd is None else one.classes[~one.crowd]
        counts += np.bincount(solid, minlength=classes)[:classes]
    return _precision.PrecisionTally(
        names=(f"{prefix}mAP50-95", f"{prefix}mAP50"),
        labelled=labelled,
        curves=_precision.curves(results, len(marked), classes, ious),
        recalls=np.asarray(evaluation.params.recThrs),
        instances=counts,
        objects=_objects(results, marked),
    )


def require() -> None:
    """Raise ``MissingExtraError`` where pycocotools is not installed."""
    try:
        import pycocotools  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("pycocotools", "accuracy", "mAP") from error


def _evaluate(kind: str, marked: Sequence[Things], found: Sequence[Things], classes: int, sigmas: Floats | None) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, finds = COCO(), COCO()
    images = [{"id": index, "height": 0, "width": 0} for index in range(len(marked))]
    categories = [{"id": index} for index in range(classes)]
    truth.dataset = {"images": images, "categories": categories, "annotations": list(_annotations(marked))}
    finds.dataset = {"images": images, "categories": categories, "annotations": list(_annotations(found))}
    with redirect_stdout(io.StringIO()):
        truth.createIndex()
        finds.createIndex()
        evaluation = COCOeval(truth, finds, kind)
        evaluation.params.catIds = list(range(classes))
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, _BEYOND]], ["all"]
        evaluation.params.maxDets = [MOST_FINDS]
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
    return evaluation


def _annotations(pictures: Sequence[Things]) -> Iterator[dict[str, object]]:
    """Yield COCO's annotations, numbered from 1: to COCOeval 0 is no match."""
    number = 0
    for image, one in enumerate(pictures):
        boxes = one.boxes.tolist()
        for index, (x1, y1, x2, y2) in enumerate(boxes):
            number += 1
            made: dict[str, object] = {
                "id": number, "image_id": image, "category_id": int(one.classes[index]),
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0,
            }  # fmt: skip
            if one.scores is not None:
                made["score"] = float(one.scores[index])
            if one.crowd is not None:
                made["iscrowd"] = int(one.crowd[index])
            if one.areas is not None:
                made["area"] = float(one.areas[index])
            if one.masks is not None:
                made["segmentation"] = one.masks[index]
            if one.keypoints is not None:
                points = one.keypoints[index]
                made["keypoints"] = points.ravel().tolist()
                made["num_keypoints"] = int((points[:, 2] > 0).sum())
            yield made


def _objects(results: Sequence[dict[str, Any] | None], marked: Sequence[Things]) -> Objects:
    """Return the score by which each object was found at an IoU of 0.5, in the order of the pictures."""
    import numpy as np

    total = sum(len(one.classes) for one in marked)
    scores, counted = np.zeros(total), np.zeros(total, bool)
    false_alarms = []
    for one in results:
        if one is None:
            continue
        by_find = dict(zip(one["dtIds"], one["dtScores"], strict=True))
        for identity, match, ignored in zip(one["gtIds"], one["gtMatches"][0], one["gtIgnore"], strict=True):
            counted[identity - 1] = not ignored
            scores[identity - 1] = by_find.get(int(match), 0.0)
        wrong = (np.asarray(one["dtMatches"])[0] == 0) & ~np.asarray(one["dtIgnore"], bool)[0]
        false_alarms += [np.asarray(one["dtScores"], np.float64)[wrong]]
    return Objects(scores=scores[counted], false_alarms=np.concatenate([np.zeros(0), *false_alarms]))


def rows(kept: Arrays) -> Things:
    """Return a kept answer's finds, as ``keep_rows`` made it."""
    import numpy as np

    return Things(boxes=kept["boxes"].astype(np.float64), classes=kept["classes"], scores=kept["scores"])


def class_count(answers: Answers, reference: Answers | None, known: int | None, marked: int) -> int:
    """Return how many classes there are: as known, or as many as are met."""
    met = [int(a.columns["classes"].max(initial=-1)) + 1 for a in (answers, reference) if a is not None]
    return max(known or 0, marked, *met, 1)
