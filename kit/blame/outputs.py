"""What two models answer, output by output, over all inputs; nothing is kept of an answer but its differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from kit.blame import rows
from kit.blame.ends import Question
from kit.blame.feeds import Feeds
from kit.blame.noise import CEILING_DB, Meter
from kit.blame.values import OutputDifference, Rows
from kit.errors import ComparisonError
from kit.types import Difference

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The differences of all outputs, and the tolerance that they were held to."""

    outputs: tuple[OutputDifference, ...]
    tolerance: float
    rows: Rows | None
    notes: tuple[str, ...]


@dataclass(kw_only=True)
class _Output:
    """What was seen so far of one output."""

    name: str
    other: str
    types: tuple[str, str] = ("", "")
    shape: tuple[int, ...] = ()
    nan_before: int = 0
    worst: Difference | None = None
    meter: Meter | None = field(default_factory=Meter)


def compare(question: Question, made: Feeds, precision: str, tolerance: float | None) -> Answered:
    """Ask both everything. Raises ``ComparisonError`` where an output has another shape in the two."""
    seen = [_Output(name=name, other=other) for name, other in question.outputs]
    tally, has_rows = rows.Tally(), False
    for given in made:
        left, right = (run(feed) for run, feed in zip(question.runs, question.fed(given), strict=True))
        there = {name: right[other] for name, other in question.outputs}
        if rows.are_rows(left) and rows.are_rows(there):
            there, has_rows = rows.align(left, there, tally), True
        for output in seen:
            _add(output, left[output.name], there[output.name])
    allowed = tolerance if tolerance is not None else _allowed(seen, precision)
    return Answered(
        outputs=tuple(_read(output, allowed) for output in seen),
        tolerance=allowed,
        rows=tally.read() if has_rows else None,
        notes=tuple(_notes(seen)),
    )


def _add(output: _Output, expected: Array, got: Array) -> None:
    import numpy as np

    import kit.compare

    if expected.shape != got.shape:
        raise ComparisonError(
            f"output {output.name} is {list(expected.shape)} in the first and {list(got.shape)} in the second; compare "
            "models that were made with the same classes, size and --max-detections"
        )
    output.types, output.shape = (str(expected.dtype), str(got.dtype)), tuple(expected.shape)
    if np.issubdtype(expected.dtype, np.floating):
        broken = ~np.isfinite(expected)
        output.nan_before += int(np.count_nonzero(np.isnan(expected)))
        if np.isnan(expected).any():  # what is no number in both says nothing of the difference
            expected, got = np.where(broken, 0, expected), np.where(broken & ~np.isfinite(got), 0, got)
    one = kit.compare.difference(output.name, expected, got)
    output.worst = one if output.worst is None else _worse(output.worst, one)
    numbers = all(np.issubdtype(value.dtype, np.number) for value in (expected, got))
    if numbers and output.meter is not None:
        output.meter.add(expected, got)
    else:
        output.meter = None


def _worse(one: Difference, other: Difference) -> Difference:
    """Return the worst of both in each respect."""
    return Difference(
        output=one.output,
        batch=one.batch,
        nan=one.nan + other.nan,
        maximum=max(one.maximum, other.maximum),
        relative=max(one.relative, other.relative),
        cosine=min(one.cosine, other.cosine),
    )


def _read(output: _Output, allowed: float) -> OutputDifference:
    import kit.compare

    worst = output.worst
    assert worst is not None
    return OutputDifference(
        output=output.name,
        other=output.other,
        types=output.types,
        shape=output.shape,
        maximum=worst.maximum,
        relative=worst.relative,
        cosine=worst.cosine,
        sqnr_db=output.meter.read().sqnr_db if output.meter is not None else CEILING_DB,
        nan=worst.nan,
        allowed=allowed,
        equal=not kit.compare.exceeds(worst, allowed),
    )


def _allowed(seen: list[_Output], precision: str) -> float:
    """Return what the coarser of the two precisions explains; an FP16 output has no more bits either."""
    import kit.compare

    half = any("float16" in output.types for output in seen)
    return kit.compare.tolerance_in("fp16" if half and precision == "fp32" else precision)


def _notes(seen: list[_Output]) -> list[str]:
    notes = []
    for output in seen:
        one, other = output.types
        if one != other:
            notes.append(f"output {output.name} is {one} in the first and {other} in the second")
        if output.nan_before:
            notes.append(f"output {output.name} has {output.nan_before} NaN in the first already: they are left out")
    return notes
