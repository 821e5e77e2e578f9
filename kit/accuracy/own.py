"""The user's own metric: ``package.module:callable``, asked with what a model says and what is marked.

    def metric(predictions: list[dict], truth: list[dict]) -> float: ...

Both lists have an entry for each picture; docs/accuracy.md says what is in it. Higher is better, by as much as the
budget of the metric allows.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.accuracy import metrics
from kit.accuracy.answers import Answers
from kit.accuracy.types import Arrays, Interval, Objects
from kit.accuracy.validation import Validation
from kit.errors import MetricError
from kit.stream.letterbox import Letterbox

RESAMPLES = 100
"""Of the interval: a metric in Python may take seconds. An attribute ``resamples`` of the callable says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Own:
    """A metric that was imported; ``name`` is what the user wrote."""

    name: str
    call: Callable[[list[dict[str, Any]], list[dict[str, Any]]], Any]
    resamples: int = RESAMPLES


def load(reference: str) -> Own:
    """Import ``package.module:callable``, the current folder first. Raises ``MetricError``."""
    module, separator, attribute = reference.partition(":")
    if not (separator and module and attribute):
        raise MetricError(f'metric "{reference}": the form is package.module:callable')
    with _on_path(Path.cwd()):
        try:
            found: Any = importlib.import_module(module)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
                said = f"no module {error.name} here or in the environment; run from the folder that holds it"
                raise MetricError(f"metric {reference}: {said}") from error
            raise MetricError(f"metric {reference} cannot be imported: {_where(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise MetricError(f"metric {reference}: {module} has no {part}; the form is package.module:callable")
        found = getattr(found, part)
    if not callable(found):
        raise MetricError(f"metric {reference} is a {type(found).__name__}; it must be a function")
    return Own(name=reference, call=found, resamples=int(getattr(found, "resamples", RESAMPLES)))


def value(metric: Own, answers: Answers, validation: Validation) -> float:
    """Return what the metric says of the answers. Raises ``MetricError``."""
    return _asked(metric, list(_predictions(answers, validation)), list(_truth(validation)))


def drop(metric: Own, before: Answers, after: Answers, validation: Validation, point: float) -> Interval:
    """Return the interval of ``point``, what is lost, by asking about pictures that are drawn again and again."""
    import numpy as np

    from kit.accuracy import bootstrap

    truth = list(_truth(validation))
    first, second = (list(_predictions(answers, validation)) for answers in (before, after))
    lost = []
    for weights in bootstrap.draws(len(truth), metric.resamples):
        for row in weights:
            chosen = np.repeat(np.arange(len(truth)), row).tolist()
            marked = [truth[index] for index in chosen]
            one, other = (_asked(metric, [p[index] for index in chosen], marked) for p in (first, second))
            lost.append(one - other)
    return bootstrap.interval(point, np.array(lost, np.float64))


def _asked(metric: Own, predictions: list[dict[str, Any]], truth: list[dict[str, Any]]) -> float:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            given = metric.call(predictions, truth)
    except Exception as error:
        raise MetricError(f"metric {metric.name} raised {_where(error)}") from error
    try:
        number = float(given)
    except (TypeError, ValueError) as error:
        raise MetricError(f"metric {metric.name} returned a {type(given).__name__}; it must return a float") from error
    if not math.isfinite(number):
        raise MetricError(f"metric {metric.name} returned {number}; it must return a finite float, higher for better")
    return number


def _where(error: Exception) -> str:
    """Return what was raised and, as the user wrote it, where."""
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in reversed(frames) if not frame.filename.startswith("<frozen")), frames[-1])
    return f"{type(error).__name__}: {error} (line {last.lineno} of {last.filename})"


def _predictions(answers: Answers, validation: Validation) -> Iterator[dict[str, Any]]:
    """Yield what the model says of each picture, boxes and keypoints in pixels of its file."""
    task = metrics.get(answers.head.task)
    for kept, size in zip(answers.each(), validation.sizes, strict=True):
        yield _in_file(task.predictions(kept), size, answers.head.frame)


def _in_file(given: Arrays, size: tuple[int, int], frame: tuple[int, int]) -> dict[str, Any]:
    box = Letterbox(source_width=size[1], source_height=size[0], input_width=frame[1], input_height=frame[0])
    made: dict[str, Any] = dict(given)
    if "boxes" in made:
        made["boxes"] = box.to_source(made["boxes"])
    if "keypoints" in made:
        points = made["keypoints"].copy()
        corners = points[:, :, [0, 1, 0, 1]].reshape(-1, 4)
        points[:, :, :2] = box.to_source(corners).reshape(*points.shape[:2], 4)[:, :, :2]
        made["keypoints"] = points
    return made


def _truth(validation: Validation) -> Iterator[dict[str, Any]]:
    """Yield what is marked in each picture, and its ``path``."""
    for index, picture in enumerate(validation.pictures):
        made: dict[str, Any] = {"path": str(picture.path)}
        one = None if validation.truth is None else validation.truth[index]
        if isinstance(one, Objects):
            made |= {"boxes": one.boxes, "classes": one.classes, "crowd": one.crowd}
            if one.keypoints is not None:
                made["keypoints"] = one.keypoints
        elif isinstance(one, int):
            made["class"] = one
        elif one is not None:
            made["mask"] = str(one)
        yield made


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have taken it out
            sys.path.remove(str(folder))
