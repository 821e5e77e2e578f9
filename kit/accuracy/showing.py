"""The pictures on which two models differ most, with what both say, for a person to look at."""

from __future__ import annotations

from dataclasses import replace

from kit.accuracy.answers import Answers
from kit.accuracy.metrics.interface import Metric
from kit.accuracy.types import Arrays, Find, Objects, Sample, Truth
from kit.accuracy.validation import Validation
from kit.stream.letterbox import Letterbox

_MOST = 8
_FINDS = 50
"""Of a picture; nobody looks at more."""


def most_different(
    before: Answers, after: Answers, validation: Validation, metric: Metric, most: int = _MOST
) -> tuple[Sample, ...]:
    """Return up to ``most`` pictures, the largest difference first; none on which the two agree."""
    threshold = before.head.threshold or 0.0
    pairs = list(zip(before.each(), after.each(), strict=True))
    apart = [metric.apart(first, second, threshold) for first, second in pairs]
    chosen = sorted((i for i, value in enumerate(apart) if value > 0), key=lambda i: (-apart[i], i))[:most]
    return tuple(
        Sample(
            picture=validation.pictures[index],
            frame=before.head.frame,
            difference=apart[index],
            truth=_marked(validation, index, before.head.frame),
            before=_finds(metric, pairs[index][0], before, validation),
            after=_finds(metric, pairs[index][1], after, validation),
        )
        for index in chosen
    )


def _finds(metric: Metric, kept: Arrays, answers: Answers, validation: Validation) -> tuple[Find, ...]:
    """Return what a model says of a picture, with the classes' names."""
    shown = metric.shown(kept, answers.head.threshold or 0.0)[:_FINDS]
    return tuple(replace(find, name=validation.name_of(find.index)) for find in shown)


def _marked(validation: Validation, index: int, frame: tuple[int, int]) -> tuple[Find, ...]:
    import numpy as np

    truth: Truth | None = None if validation.truth is None else validation.truth[index]
    if isinstance(truth, int):
        return (Find(name=validation.name_of(truth), index=truth),)
    if not isinstance(truth, Objects):
        return ()
    height, width = validation.sizes[index]
    box = Letterbox(source_width=width, source_height=height, input_width=frame[1], input_height=frame[0])
    boxes = box.to_input(truth.boxes[:_FINDS].astype(np.float32))
    return tuple(
        Find(name=validation.name_of(int(k)), index=int(k), corners=(float(a), float(b), float(c), float(d)))
        for k, (a, b, c, d) in zip(truth.classes[:_FINDS], boxes, strict=True)
    )
