"""Answers and truth without a model or a file: what metrics are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.accuracy import answers
from kit.accuracy.answers import Answers, Head
from kit.accuracy.types import Objects, Truth
from kit.accuracy.validation import Validation
from kit.types import Interpretation, Picture, Thresholds

FRAME = (64, 64)


def meaning(task: str = "detect", classes: int | None = 3, contract: str = "served") -> Interpretation:
    return Interpretation(
        task=task, head=task, contract=contract, class_count=classes, normalization=None, color="rgb",
        thresholds=Thresholds() if task in ("detect", "instances", "pose") else None, reason="",
    )  # fmt: skip


def validation(
    truth: Sequence[Truth] | None, count: int, classes: int = 3, size: tuple[int, int] = FRAME
) -> Validation:
    return Validation(
        layout="made",
        pictures=tuple(Picture(path=Path(f"{index}.jpg"), digest=str(index)) for index in range(count)),
        sizes=(size,) * count,
        truth=None if truth is None else tuple(truth),
        names=tuple("abcdefghij"[:classes]),
        class_count=classes,
        notes=(),
        digest="made",
    )


def objects(boxes: Any, classes: Any, crowd: Any = None, **more: Any) -> Objects:
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    return Objects(
        boxes=array,
        classes=np.asarray(classes, np.int64),
        crowd=np.zeros(len(array), bool) if crowd is None else np.asarray(crowd, bool),
        areas=np.prod(array[:, 2:] - array[:, :2], axis=1),
        **more,
    )


def finds(boxes: Any, scores: Any, classes: Any) -> dict[str, Any]:
    return {
        "boxes": np.asarray(boxes, np.float32).reshape(-1, 4),
        "scores": np.asarray(scores, np.float32),
        "classes": np.asarray(classes, np.int32),
    }


def answered(kept: Sequence[dict[str, Any]], task: str = "detect", **head: Any) -> Answers:
    threshold = 0.25 if task in ("detect", "instances", "pose") else None
    return answers.gather(Head(task=task, frame=FRAME, pictures=len(kept), threshold=threshold, **head), kept)


def scene(generator: np.random.Generator, classes: int = 3, most: int = 5) -> tuple[Objects, dict[str, Any]]:
    """A picture with objects, some of them crowds, and finds: near, doubled, of the wrong class, from nowhere."""
    count = int(generator.integers(0, most + 1))
    corners = generator.uniform(0, 40, (count, 2))
    boxes = np.hstack([corners, corners + generator.uniform(4, 24, (count, 2))])
    kinds = generator.integers(0, classes, count)
    near = np.repeat(boxes, 2, axis=0) + generator.normal(0, 2, (2 * count, 4))
    nowhere = np.hstack([corners + 1, corners + 9])[: count // 2]
    labels = np.concatenate([np.repeat(kinds, 2), kinds[: count // 2]])
    wrong = generator.random(len(labels)) < 0.2
    labels[wrong] = generator.integers(0, classes, int(wrong.sum()))
    scores = generator.random(len(labels))
    order = np.argsort(-scores, kind="stable")
    given = finds(np.vstack([near, nowhere])[order], scores[order], labels[order])
    return objects(boxes, kinds, generator.random(count) < 0.1), given
