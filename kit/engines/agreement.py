"""Whether an engine answers as ONNX Runtime does with the ONNX that it was built from.

Two kinds of answers are held apart. Numbers (probabilities, embeddings, maps) point the same way. Rows of detections
are matched with each other: a score that moves by a rounding may change places with its neighbour, and what lay at the
threshold may come or go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kit.engines.provenance import Agreement

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "Mapping[str, npt.NDArray[np.generic]]"

ROWS = ("num", "boxes", "scores", "classes")
DETECTIONS = "detections"
"""What these are together."""


@dataclass(frozen=True, kw_only=True)
class Least:
    """What is asked of an engine: the cosine of numbers, the share of detections and of whole numbers that are equal.

    ``score`` is how far the scores of two matching rows may be apart.
    """

    cosine: float
    share: float
    score: float


LEAST = {
    "fp32": Least(cosine=0.9995, share=0.98, score=0.02),  # TensorRT multiplies FP32 as TF32 where the GPU can
    "fp16": Least(cosine=0.999, share=0.95, score=0.05),
    "int8": Least(cosine=0.98, share=0.90, score=0.10),
}
_OVERLAP = 0.8
"""IoU of two boxes that are the same."""


def least(precisions: frozenset[str]) -> Least:
    """Return what is asked of a graph that computes in these precisions."""
    return LEAST[next((name for name in ("int8", "fp16") if name in precisions), "fp32")]


def compare(expected: Arrays, got: Arrays, batch: int, asked: Least) -> tuple[Agreement, ...]:
    """Return how each output of one batch compares; detections are one entry."""
    rows = set(ROWS) <= set(expected)
    found = [_rows(expected, got, batch, asked)] if rows else []
    others = (name for name in expected if not rows or name not in ROWS)
    return (*found, *(_numbers(name, expected[name], got[name], batch) for name in others))


def problems(seen: tuple[Agreement, ...], asked: Least) -> Iterator[str]:
    """Yield what differs by more than is allowed."""
    for one in seen:
        if one.nan:
            yield f"{one.output} has {one.nan} values that are no numbers"
        elif one.share < asked.share and one.differing > 1:
            yield f"{one.output}: {one.share:.1%} agree at batch {one.batch}, {asked.share:.0%} are asked for"
        elif one.cosine < asked.cosine:
            yield f"{one.output}: cosine {one.cosine:.4f} at batch {one.batch}, {asked.cosine:g} is asked for"


def _numbers(name: str, expected: npt.NDArray[np.generic], got: npt.NDArray[np.generic], batch: int) -> Agreement:
    import numpy as np

    if expected.shape != got.shape:
        return Agreement(
            output=name, batch=batch, count=expected.size, cosine=0.0, share=0.0, differing=expected.size, nan=0
        )
    if not np.issubdtype(expected.dtype, np.inexact):
        differing = int((expected != got).sum())
        share = 1 - differing / max(1, expected.size)
        return Agreement(
            output=name, batch=batch, count=expected.size, cosine=1.0, share=share, differing=differing, nan=0
        )
    one, other = (values.astype(np.float64).reshape(max(1, len(values)), -1) for values in (expected, got))
    nan = int((~np.isfinite(other) & np.isfinite(one)).sum())
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    inner = (one * other).sum(axis=1)
    same = (np.abs(one).max(axis=1, initial=0) < 1e-6) & (np.abs(other).max(axis=1, initial=0) < 1e-6)
    cosines = np.where(same, 1.0, inner / np.where(lengths > 0, lengths, 1.0))
    least_cosine = float(cosines.min(initial=1.0))
    return Agreement(
        output=name, batch=batch, count=expected.size, cosine=least_cosine, share=1.0, differing=0, nan=nan
    )


def _rows(expected: Arrays, got: Arrays, batch: int, asked: Least) -> Agreement:
    """Match the detections of each frame."""
    import numpy as np

    rows = differing = nan = 0
    for frame in range(len(expected["num"])):
        one, other = _frame(expected, frame), _frame(got, frame)
        nan += int(sum((~np.isfinite(part[name])).sum() for part in (other,) for name in ("boxes", "scores")))
        matched = _matched(one, other, asked.score)
        rows += max(len(one["scores"]), len(other["scores"]))
        differing += max(len(one["scores"]), len(other["scores"])) - matched
    share = 1 - differing / rows if rows else 1.0
    return Agreement(output=DETECTIONS, batch=batch, count=rows, cosine=1.0, share=share, differing=differing, nan=nan)


def _frame(answers: Arrays, frame: int) -> dict[str, npt.NDArray[np.float64]]:
    import numpy as np

    count = int(np.asarray(answers["num"])[frame].item())
    return {name: np.asarray(answers[name])[frame][:count].astype(np.float64) for name in ROWS[1:]}


def _matched(
    one: Mapping[str, npt.NDArray[np.float64]], other: Mapping[str, npt.NDArray[np.float64]], score: float
) -> int:
    """Return how many detections of one are in the other, each taken once."""
    import numpy as np

    if not len(one["scores"]) or not len(other["scores"]):
        return 0
    same = (one["classes"][:, None] == other["classes"][None]) & (
        np.abs(one["scores"][:, None] - other["scores"][None]) <= score
    )
    overlaps = np.where(same, _overlaps(one["boxes"], other["boxes"]), 0.0)
    count = 0
    while (best := overlaps.max(initial=0.0)) >= _OVERLAP:
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        overlaps[row, :], overlaps[:, column] = 0.0, 0.0
        count += 1 if best else 0
    return count


def _overlaps(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the IoU of each pair of boxes; of two that are the same it is 1, however thin they are."""
    import numpy as np

    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = (one[:, 2:] - one[:, :2]).prod(axis=1)[:, None] + (other[:, 2:] - other[:, :2]).prod(axis=1)[None]
    whole = areas - shared
    ratio: npt.NDArray[np.float64] = np.where(whole > 0, shared / np.where(whole > 0, whole, 1), 0)
    close = np.abs(one[:, None] - other[None]).max(axis=2) < 0.5
    return np.where(close, 1.0, ratio)
