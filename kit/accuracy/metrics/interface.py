"""What a task's answers are worth: kept small, counted picture by picture, summed up under any weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kit.accuracy.answers import Answers
from kit.accuracy.types import Arrays, Find, Floats, Ints
from kit.accuracy.validation import Validation


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The scores of what there is to be found: of each object in the order of the pictures, 0 where it was missed.

    ``false_alarms`` are the scores of finds that are no object.
    """

    scores: Floats
    false_alarms: Floats


@dataclass(frozen=True, kw_only=True)
class Sums:
    """The metric under B weightings of the pictures: ``numbers`` [B, the tally's names]; ``classes`` [B, C].

    NaN in ``classes`` where a weighting has none of a class.
    """

    numbers: Floats
    classes: Floats


class Tally(Protocol):
    """Answers held against the truth, picture by picture, from which the metric follows under any weighting.

    The first of ``names`` is judged. Where it is not ``labelled``, the truth is another model's answers.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Return the numbers' names."""

    @property
    def labelled(self) -> bool:
        """Return whether the truth was marked."""

    @property
    def instances(self) -> Ints:
        """Return [C] how many objects of each class there are."""

    @property
    def objects(self) -> Objects | None:
        """Return the scores of what there is to be found, where the task has scores."""

    def at(self, weights: Ints) -> Sums:
        """Return the metric where picture n is there ``weights[b, n]`` times: [B, N] to B numbers."""


@runtime_checkable
class Metric(Protocol):
    """How good answers to one task are. ``name`` is the task's. ``tools``: distributions that results depend on."""

    name: str
    tools: tuple[str, ...]

    def require(self) -> None:
        """Raise ``MissingExtraError`` where a library that it needs is not installed."""

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """Return what is kept of a picture's answer: row ``index`` of a batch of served outputs."""

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
        """Hold the answers against the truth; where there is none, against those of the ``reference`` model.

        Raises ``MissingExtraError`` and ``ValidationSetError``.
        """

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:
        """Return how far two kept answers to one picture are apart: 0 not at all, 1 wholly."""

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:
        """Return what a person would be shown of an answer, boxes in pixels of the frame."""

    def predictions(self, kept: Arrays) -> Arrays:
        """Return a kept answer as the user's own metric gets it: served outputs, boxes in pixels of the frame."""
