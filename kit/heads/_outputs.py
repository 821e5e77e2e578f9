"""Which of a model's outputs a head reads, and what its metadata says of them."""

from __future__ import annotations

from dataclasses import replace

from kit.evidence import Evidence
from kit.types import DataType, Tensor

FLOATS = (DataType.FP32, DataType.FP16)

_ULTRALYTICS = frozenset({"detect", "segment", "pose"})
"""Ultralytics' words for tasks whose rows the heads here have."""


def only_rows(seen: Evidence, columns_axis: int) -> Tensor | None:
    """Return the first output where it is float [N, ?, ?] and those after it are feature maps; else None.

    The size along ``columns_axis`` is what the network gives where the graph does not say it: exporters call all sizes
    of a network for pictures of any size free, and only the number of anchors is.
    """
    first, *others = seen.outputs
    if first.dtype not in FLOATS or len(first.shape) != 3 or any(len(t.shape) < 4 for t in others):
        return None
    if first.shape[columns_axis] != -1 or seen.samples is None:
        return first
    shape = list(first.shape)
    shape[columns_axis] = seen.samples[0].shape[columns_axis]
    return replace(first, shape=tuple(shape))


def prototypes(seen: Evidence) -> Tensor | None:
    """Return the second and last output where it is float [N, E, h, w], as masks are mixed from; else None."""
    if len(seen.outputs) != 2:
        return None
    second = seen.outputs[1]
    return second if second.dtype in FLOATS and len(second.shape) == 4 and second.shape[1] > 0 else None


def other_task(seen: Evidence) -> bool:
    """Tell whether Ultralytics' metadata names a task whose rows no head here has, such as oriented boxes."""
    return "stride" in seen.metadata and seen.metadata.get("task", "detect") not in _ULTRALYTICS


def told(seen: Evidence) -> str | None:
    """Return the task in Ultralytics' metadata, or None."""
    return seen.metadata.get("task") if "stride" in seen.metadata else None


def keypoint_columns(seen: Evidence) -> int | None:
    """Return how many columns the metadata's ``kpt_shape`` takes; None where there is none."""
    shape = _keypoint_shape(seen)
    return None if shape is None else shape[0] * shape[1]


def keypoints(seen: Evidence, extras: int) -> tuple[int, int] | None:
    """Return how many keypoints of how many numbers ``extras`` columns are: by the metadata, else three of each."""
    if (shape := _keypoint_shape(seen)) is not None:
        return shape if shape[0] * shape[1] == extras else None
    return (extras // 3, 3) if extras and extras % 3 == 0 else None


def _keypoint_shape(seen: Evidence) -> tuple[int, int] | None:
    shape = seen.literal("kpt_shape")
    if not isinstance(shape, (list, tuple)) or len(shape) != 2 or not all(isinstance(size, int) for size in shape):
        return None
    return (shape[0], shape[1]) if shape[0] > 0 and shape[1] in (2, 3) else None


def ignored(seen: Evidence, read: tuple[int, ...]) -> str:
    """Say which outputs are left out."""
    rest = [tensor.name for index, tensor in enumerate(seen.outputs) if index not in read]
    return f"; {', '.join(rest)} left out" if rest else ""


def column(size: int, letter: str) -> str:
    """Return a size for a message; a free one by its letter."""
    return str(size) if size > 0 else letter
