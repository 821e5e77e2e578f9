"""What the user asked for, on the command line or in a file, as one checked ``Spec``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kit import sources
from kit.errors import InvalidModelNameError, SourceNotFoundError, UsageError
from kit.types import Normalization, Spec, Thresholds

_LEAST_STD = 1e-6
_MOST = 1e6
"""Beyond these, FP32 has no room for what pixels become."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LONGEST_NAME = 200  # a file name has 255 bytes, and ours have something in front of the model's name
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


def build(
    source: str,
    *,
    name: str | None,
    targets: tuple[str, ...],
    thresholds: Thresholds,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    **rest: object,
) -> Spec:
    """Return the spec of one model. ``rest`` are fields of ``Spec`` by name; None means the default.

    Raises ``UsageError``, ``InvalidModelNameError`` and ``SourceNotFoundError``.
    """
    if os.path.isdir(source):  # noqa: PTH112 (False where it may not be looked at); its name may be none: "."
        raise SourceNotFoundError(f"{source} is a folder; give the path of an .onnx file")
    chosen = name if name is not None else sources.resolve(source).model_name(source)
    check_name(chosen, given=name is not None)
    check_thresholds(thresholds)
    given = {key: value for key, value in rest.items() if value is not None}
    return Spec(
        source=source,
        name=chosen,
        targets=tuple(dict.fromkeys(targets)),
        thresholds=thresholds,
        normalization=normalization(mean, std),
        **given,  # type: ignore[arg-type]
    )


def check_name(name: str, *, given: bool) -> None:
    """Refuse what Triton refuses or warns of, and what makes shells and URLs stumble.

    Raises ``InvalidModelNameError`` with a name that would do.
    """
    if problem := name_problem(name, given=given, how="--name "):
        raise InvalidModelNameError(problem)


def name_problem(name: str, *, given: bool, how: str) -> str | None:
    """Return what is wrong with a model's name and one that would do, or None; ``how`` is how a name is given."""
    if _NAME.fullmatch(name) and ".." not in name and len(name) <= _LONGEST_NAME:
        return None
    better = re.sub(r"\.{2,}", ".", _UNFIT.sub("-", name)).strip("-.")[:64] or "model"
    whose = "model name" if given else "the source gives the model name"
    return (
        f'{whose} "{name}": letters, digits, "_", "-" and "." only, no ".." and at most {_LONGEST_NAME} of them; '
        f"for example {how}{better}"
    )


def check_thresholds(thresholds: Thresholds) -> None:
    """Raise ``UsageError`` for thresholds outside their ranges."""
    if not 0 <= thresholds.score < 1:
        raise UsageError(f"score threshold {thresholds.score}: 0 or more and less than 1, for example 0.25")
    if not 0 < thresholds.iou <= 1:
        raise UsageError(f"IoU threshold {thresholds.iou}: more than 0 and at most 1, for example 0.45")
    if not 1 <= thresholds.max_detections <= 10_000:
        raise UsageError(f"max detections {thresholds.max_detections}: 1 to 10000, for example 100")


def normalization(mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> Normalization | None:
    """Return the normalisation that was asked for, or None where nothing was. Raises ``UsageError``."""
    if mean is None and std is None:
        return None
    if std is not None and any(abs(value) < _LEAST_STD for value in std):
        raise UsageError(f"std {min(std, key=abs)}: pixels are divided by it; for example 0.229")
    count = len(mean or std or ())
    made = Normalization(mean=mean or (0.0,) * count, std=std or (1.0,) * count)
    if len(made.mean) != len(made.std):
        raise UsageError(f"mean has {len(made.mean)} values, std has {len(made.std)}; give one for each channel")
    return made


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """Return ``3x640x640`` as numbers. Raises ``UsageError``."""
    if text is None:
        return None
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}(x0*[1-9][0-9]{0,8})*", text):
        raise UsageError(f'shape "{text}": numbers joined by x and no batch, for example 3x640x640')
    return tuple(int(size) for size in text.split("x"))


def parse_numbers(text: str | None) -> tuple[float, ...] | None:
    """Return ``0.485,0.456,0.406`` as numbers. Raises ``UsageError``."""
    if text is None:
        return None
    try:
        values = tuple(float(value) for value in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(abs(value) <= _MOST for value in values):  # NaN neither
        raise UsageError(f'"{text}": numbers joined by commas, for example 0.485,0.456,0.406')
    return values


def output_folder(text: str) -> Path:
    """Return the folder of the repository. Raises ``UsageError`` where it is empty."""
    if not text.strip():
        raise UsageError("--output is empty; give a folder, for example model_repository")
    return Path(text)
