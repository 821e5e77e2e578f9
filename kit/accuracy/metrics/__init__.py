"""How good answers are: one file per task."""

from __future__ import annotations

from kit import axis
from kit.accuracy.metrics.interface import Metric
from kit.types import Interpretation


def names() -> tuple[str, ...]:
    """Return the names of the tasks that have a metric."""
    return axis.names(__name__)


def get(task: str) -> Metric:
    """Return a task's metric; ``task`` is one of ``names()``."""
    metric = axis.member(__name__, task)
    assert isinstance(metric, Metric)
    return metric


def of(meaning: Interpretation) -> Metric:
    """Return the metric of what a model gives: of its own tensors, that of tensors."""
    return get("raw" if meaning.contract == "native" else meaning.task)
