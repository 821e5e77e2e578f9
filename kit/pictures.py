"""The pictures of a run in a lower precision: those that ranges are taken from, and others to judge on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import CalibrationError, UsageError
from kit.types import Interpretation, Picture, Spec

if TYPE_CHECKING:
    from kit.accuracy.validation import Validation
    from kit.calibration import CalibrationSet

_JUDGED_SHARE, _MOST_JUDGED = 0.25, 300
"""Of a calibration source without a validation set beside it: so many are judged on instead."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """``calibration`` is None where nothing was given for it, as need not be for FP16; ``source`` is where it is from.

    ``notes`` are what the user should know, a sentence each.
    """

    validation: Validation
    calibration: CalibrationSet | None = None
    source: str = ""
    notes: tuple[str, ...] = ()


def require(spec: Spec, wanted: str, *, calibrated: bool) -> None:
    """Raise ``UsageError`` where the spec names no pictures to judge on, or none to calibrate on where ``calibrated``.

    ``wanted`` is the precision that they are for. None of them is read: a mistake that is seen before any work.
    """
    if spec.contract != "served":
        raise UsageError(
            f"--precision {wanted} is judged by what is answered to pictures, and --contract native takes numbers; "
            "leave one of the two out"
        )
    if spec.calibration is None and calibrated:
        raise UsageError(
            f"--precision {wanted} takes its ranges from real pictures: give --calibration, a folder, a COCO set or a "
            "video; about 500 pictures, not those of --validation"
        )
    if spec.calibration is None and spec.validation is None:
        raise UsageError(
            f"--precision {wanted} is judged on real pictures: give --validation (with labels, so that its "
            "accuracy is known) or --calibration (then its agreement with FP32 is)"
        )
    from kit import calibration

    if spec.calibration is not None and spec.validation is None and not calibration.divisible(spec.calibration):
        raise UsageError(
            f"--calibration {spec.calibration} is to be calibrated on as a whole; to judge the result on, give "
            "--validation: a COCO set, or a folder of other pictures"
        )


def gather(spec: Spec, meaning: Interpretation, labels: Sequence[str]) -> Pictures:
    """Read the pictures that the spec names, which ``require`` has found to be enough.

    Raises ``CalibrationError``, ``ValidationSetError`` and ``InputsError``.
    """
    from kit import accuracy

    if spec.calibration is None:
        assert spec.validation is not None
        return Pictures(validation=accuracy.read(spec.validation, meaning, labels))
    if spec.validation is None:
        return _divided(spec, spec.calibration, meaning, labels)
    validation = accuracy.read(spec.validation, meaning, labels)
    return _beside(spec, spec.calibration, validation, validation.pictures)


def _beside(spec: Spec, source: Path, validation: Validation, apart: Sequence[Picture]) -> Pictures:
    from kit import calibration

    chosen = calibration.choose(source, spec.calibration_count, apart)
    notes = (*chosen.warnings, *validation.notes)
    return Pictures(validation=validation, calibration=chosen, source=str(source), notes=notes)


def _divided(spec: Spec, source: Path, meaning: Interpretation, labels: Sequence[str]) -> Pictures:
    """Judge on a part of the calibration source, which is then not calibrated on."""
    from kit import accuracy, calibration

    whole = accuracy.read(source, meaning, labels)
    count = min(_MOST_JUDGED, int(len(whole) * _JUDGED_SHARE))
    if len(whole) - count < calibration.LEAST or not count:
        raise CalibrationError(
            f"{source} holds {len(whole)} pictures: too few to calibrate on {calibration.LEAST} of them and to judge "
            "on others; give more, or --validation"
        )
    by_digest = sorted(p.digest for p in whole.pictures)
    judged = whole.only(frozenset(by_digest[:count]))
    made = _beside(spec, source, judged, judged.pictures)
    told = f"no --validation: judged on {len(judged)} pictures of {source} that are not calibrated on"
    return replace(made, notes=(told, *made.notes))
