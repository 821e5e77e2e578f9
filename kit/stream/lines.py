"""Results as JSON lines: the schema, which ``kit camera --print-schema`` publishes, and how a result becomes a line.

A reader takes the lines whose ``kind`` it knows and leaves fields alone that it does not know: fields are added without
a new ``schema``; one that changes its meaning, or goes, makes ``schema`` rise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from kit.stream.accounting import Cause
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
from kit.stream.sinks.interface import Emission
from kit.stream.snapshot import CameraView

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCHEMA = 1
_TOP = 5
_MOST_VALUES = 4096
_DIGITS = 4


class _Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all lines have."""

    schema: int = SCHEMA
    camera: str


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """An object. ``box`` is x1, y1, x2, y2 in pixels of the source frame.

    Of models that give masks, ``area`` is the part of the frame's pixels that the mask covers. Of models that give
    poses, ``keypoints`` are x, y in pixels of the source frame and visibility from 0 to 1.
    """

    class_id: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    area: float | None = None
    keypoints: list[tuple[float, float, float]] | None = None


class Class(msgspec.Struct, frozen=True, kw_only=True):
    """A class and how likely it is: of a picture as a whole, the likeliest first."""

    class_id: int
    label: str
    probability: float


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A class and the part of the frame's pixels that are of it, 0 to 1, the largest first."""

    class_id: int
    label: str
    share: float


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """An output as it is; ``values`` in row-major order, null where they are over 4096 or no numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: list[float | int | bool] | None


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """How the frame lies in the model's input: scaled to ``width`` x ``height``, its corner at ``left``, ``top``."""

    input_width: int
    input_height: int
    width: int
    height: int
    left: int
    top: int


class ResultLine(_Line, frozen=True, kw_only=True, tag="result"):
    """A frame's result. Times in ns are of one monotonic clock, ``wall_s`` is Unix time when the frame was captured.

    ``frame`` counts a camera's frames from 0. ``dropped`` counts, by cause, those that were dropped since this
    camera's last line. One of ``detections``, ``classes``, ``segments``, ``embedding`` and ``tensors`` is not null.
    """

    frame: int
    pts_s: float | None
    wall_s: float
    captured_ns: int
    sent_ns: int
    received_ns: int
    emitted_ns: int
    model: str
    version: str
    wire: str
    width: int
    height: int
    letterbox: Fit
    detections: list[Detection] | None = None
    classes: list[Class] | None = None
    segments: list[Segment] | None = None
    embedding: list[float] | None = None
    tensors: list[Tensor] | None = None
    dropped: dict[str, int]


class EndLine(_Line, frozen=True, kw_only=True, tag="end"):
    """A camera's totals, once, at the end: ``captured == emitted + sum(dropped)``."""

    captured: int
    emitted: int
    dropped: dict[str, int]


Line = ResultLine | EndLine


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a line."""
    made = msgspec.json.schema(Line)
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A line of kit camera --json"}
    return {**about, **made}


def result_line(emission: Emission, before: Mapping[Cause, int]) -> ResultLine:
    """Return a result's line; ``before`` is what was dropped until the camera's last line."""
    result = emission.result
    frame, box = result.frame, result.letterbox
    (width, height), (left, top) = box.size, box.offset
    return ResultLine(
        camera=frame.camera, frame=frame.number, pts_s=frame.pts_s, wall_s=frame.wall_s,
        captured_ns=frame.captured_ns, sent_ns=result.sent_ns, received_ns=result.received_ns,
        emitted_ns=result.emitted_ns, model=result.model, version=result.version, wire=result.wire,
        width=frame.image.shape[1], height=frame.image.shape[0],
        letterbox=Fit(input_width=box.input_width, input_height=box.input_height, width=width, height=height,
                      left=left, top=top),
        dropped=_counts({cause: count - before.get(cause, 0) for cause, count in emission.dropped.items()}),
        **_content(result.output, emission.labels),
    )  # fmt: skip


def end_line(view: CameraView) -> EndLine:
    """Return a camera's last line."""
    totals = view.totals
    return EndLine(
        camera=view.camera, captured=totals.captured, emitted=totals.emitted, dropped=_counts(totals.dropped)
    )


def name_of(class_id: int, labels: tuple[str, ...]) -> str:
    """Return the name of a class, or its number where it has none."""
    return labels[class_id] if 0 <= class_id < len(labels) and labels[class_id] else str(class_id)


def _counts(dropped: Mapping[Cause, int]) -> dict[str, int]:
    return {cause.value: count for cause, count in dropped.items() if count}


def _content(output: Output, labels: tuple[str, ...]) -> dict[str, Any]:
    field, make = _CONTENTS[type(output)]
    return {field: make(output, labels)}


def _instances(output: Instances, labels: tuple[str, ...]) -> list[Detection]:
    areas = output.masks.astype(bool).mean(axis=(1, 2)).tolist() if len(output) else []
    found = _detections(output, labels)
    return [msgspec.structs.replace(f, area=round(area, _DIGITS)) for f, area in zip(found, areas, strict=True)]


def _poses(output: Poses, labels: tuple[str, ...]) -> list[Detection]:
    found = _detections(output, labels)
    return [
        msgspec.structs.replace(
            each, keypoints=[(round(x, 2), round(y, 2), round(seen, _DIGITS)) for x, y, seen in points]
        )
        for each, points in zip(found, output.keypoints.tolist(), strict=True)
    ]


def _embedding(output: Embedding, labels: tuple[str, ...]) -> list[float]:  # noqa: ARG001
    vector: list[float] = output.vector.tolist()
    return vector


def _detections(output: Detections, labels: tuple[str, ...]) -> list[Detection]:
    rows = zip(output.classes.tolist(), output.scores.tolist(), output.boxes.tolist(), strict=True)
    return [
        Detection(
            class_id=class_id, label=name_of(class_id, labels), score=round(score, _DIGITS),
            box=tuple(round(value, 2) for value in box),
        )
        for class_id, score, box in rows
    ]  # fmt: skip


def _classes(output: Classification, labels: tuple[str, ...]) -> list[Class]:
    return [
        Class(class_id=class_id, label=name_of(class_id, labels), probability=round(probability, _DIGITS))
        for class_id, probability in output.top(_TOP)
    ]


def _segments(output: Segmentation, labels: tuple[str, ...]) -> list[Segment]:
    import numpy as np

    found, counts = np.unique(output.classes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [
        Segment(
            class_id=int(found[index]),
            label=name_of(int(found[index]), labels),
            share=round(float(counts[index]) / output.classes.size, _DIGITS),
        )
        for index in order
    ]


def _tensors(output: Tensors, labels: tuple[str, ...]) -> list[Tensor]:  # noqa: ARG001 (numbers have no names)
    return [
        Tensor(name=name, dtype=array.dtype.name, shape=tuple(array.shape), values=_values(array))
        for name, array in output.arrays.items()
    ]


def _values(array: npt.NDArray[np.generic]) -> list[float | int | bool] | None:
    if array.size > _MOST_VALUES or array.dtype.kind not in "fiub":
        return None
    flat: list[float | int | bool] = array.ravel().tolist()
    return flat


_CONTENTS: Mapping[type, tuple[str, Callable[[Any, tuple[str, ...]], object]]] = {
    Detections: ("detections", _detections),
    Instances: ("detections", _instances),
    Poses: ("detections", _poses),
    Embedding: ("embedding", _embedding),
    Classification: ("classes", _classes),
    Segmentation: ("segments", _segments),
    Tensors: ("tensors", _tensors),
}
