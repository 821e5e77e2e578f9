"""What a result holds, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kit.stream.lines import name_of
from kit.stream.results import (
    Classification,
    Detections,
    Embedding,
    Instances,
    Output,
    Poses,
    Segmentation,
    Tensors,
)

Labels = tuple[str, ...]
_MOST = 4


def brief(output: Output, labels: Labels) -> str:
    """Return the contents in a few words: ``2 cat, 1 dog``."""
    return ", ".join(_BRIEF[type(output)](output, labels))


def rows(output: Output, labels: Labels) -> Iterator[str]:
    """Yield a line for each thing that was found; none where nothing was."""
    yield from _ROWS[type(output)](output, labels)


def _kinds(output: Detections, labels: Labels) -> list[str]:
    counts = Counter(name_of(class_id, labels) for class_id in output.classes.tolist())
    most = [f"{count} x {name}" for name, count in counts.most_common(_MOST)]
    return [*most, *(["..."] if len(counts) > _MOST else [])] or ["nothing"]


def _boxes(output: Detections, labels: Labels) -> Iterator[str]:
    found = zip(output.classes.tolist(), output.scores.tolist(), output.boxes.tolist(), strict=True)
    for class_id, score, box in found:
        yield f"{name_of(class_id, labels):>12s}  {score:4.2f}  " + "  ".join(f"{value:6.1f}" for value in box)


def _likeliest(output: Classification, labels: Labels) -> list[str]:
    return [f"{name_of(class_id, labels)} {share:.0%}" for class_id, share in output.top(1)]


def _classes(output: Classification, labels: Labels) -> Iterator[str]:
    for class_id, share in output.top(_MOST):
        yield f"{name_of(class_id, labels):>12s}  {share:4.2f}"


def _areas(output: Segmentation, labels: Labels) -> list[str]:
    import numpy as np

    found, counts = np.unique(output.classes, return_counts=True)
    largest = sorted(zip(counts.tolist(), found.tolist(), strict=True), reverse=True)[:_MOST]
    return [f"{name_of(class_id, labels)} {count / output.classes.size:.0%}" for count, class_id in largest]


def _point(output: Embedding, labels: Labels) -> list[str]:  # noqa: ARG001
    return [f"vector of {len(output.vector)}"]


def _shapes(output: Tensors, labels: Labels) -> list[str]:  # noqa: ARG001
    return [f"{name} {list(array.shape)}" for name, array in output.arrays.items()]


def _lines(of: Callable[[Any, Labels], list[str]]) -> Callable[[Any, Labels], Iterator[str]]:
    return lambda output, labels: (f"{text:>12s}" for text in of(output, labels))


_BRIEF: Mapping[type, Callable[[Any, Labels], list[str]]] = {
    Detections: _kinds,
    Instances: _kinds,
    Poses: _kinds,
    Embedding: _point,
    Classification: _likeliest,
    Segmentation: _areas,
    Tensors: _shapes,
}
_ROWS: Mapping[type, Callable[[Any, Labels], Iterator[str]]] = {
    Detections: _boxes,
    Instances: _boxes,
    Poses: _boxes,
    Embedding: _lines(_point),
    Classification: _classes,
    Segmentation: _lines(_areas),
    Tensors: _lines(_shapes),
}
