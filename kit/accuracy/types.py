"""The values that travel between measuring, scoring and judging: frozen, and plain enough for a report in JSON.

Boxes are x1, y1, x2, y2 in pixels; accuracies are fractions from 0 to 1, so that a point is 0.01.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit.types import Picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"
Floats: TypeAlias = "npt.NDArray[np.float64]"
Ints: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, kw_only=True)
class Outline:
    """An object's mask as it was marked: ``polygons`` of x, y, x, y ..., or COCO's run lengths ``counts``.

    Both in pixels of the picture's file; ``counts`` go down its columns, beginning with what is outside.
    """

    polygons: tuple[tuple[float, ...], ...] = ()
    counts: str | tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Objects:
    """What is marked in one picture: G objects, in pixels of the picture's file.

    ``boxes`` [G, 4]; ``classes`` [G], the model's; ``crowd`` [G] bool: a group, in which finds are neither right nor
    wrong; ``areas`` [G], pixels; ``outlines`` and ``keypoints`` [G, K, 3] (x, y, 0 for not marked) where there are.
    """

    boxes: Floats
    classes: Ints
    crowd: npt.NDArray[np.bool_]
    areas: Floats
    outlines: tuple[Outline, ...] = ()
    keypoints: Floats | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.classes)


Truth: TypeAlias = "Objects | int | Path"
"""Of one picture: its objects, its class, or the file of its mask (PNG of class indices, 255 for not marked)."""


@dataclass(frozen=True, kw_only=True)
class Classes:
    """What is known of a model's classes when a validation set is read.

    ``names`` may be empty; ``count`` is None where the model does not tell. ``keypoints``: (K, numbers of each).
    """

    task: str
    names: tuple[str, ...] = ()
    count: int | None = None
    keypoints: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Pictures for which an output had NaN or infinite numbers."""

    output: str
    pictures: int


@dataclass(frozen=True, kw_only=True)
class Company:
    """How far the answers to the same pictures were apart at another batch size than 1; 0: not at all."""

    batch: int
    difference: float


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """A class's own number and how often it is in the validation set; ``value`` is None where it is not."""

    index: int
    name: str
    value: float | None
    instances: int


@dataclass(frozen=True, kw_only=True)
class Confidences:
    """The scores of what was found and is right: ``quantiles`` at 10, 25, 50, 75, 90 %; ``histogram`` in 20 equal bins.

    ``threshold`` is the served one: ``found`` is the share of objects that are found above it, ``right`` the share
    of finds above it that are right. None where the task has no threshold.
    """

    quantiles: tuple[float, ...]
    histogram: tuple[int, ...] = ()
    threshold: float | None = None
    found: float | None = None
    right: float | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """How good a model's answers are: ``value`` of ``metric``, more of the kind in ``others``.

    ``agreement``: held against the answers of the FP32 model, not against labels.
    """

    metric: str
    value: float
    others: Mapping[str, float]
    classes: tuple[ClassScore, ...]
    confidences: Confidences | None
    images: int
    agreement: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number and where it lies with 95 % confidence, if other pictures of the same kind had been taken."""

    point: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ClassDrop:
    """What a class lost. ``held``: whether it has pictures enough to be held to a budget."""

    index: int
    name: str
    instances: int
    before: float
    after: float
    drop: Interval
    held: bool


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How scores moved: of each object that both models found, the later score minus the earlier one.

    ``quantiles`` of these differences at 10, 25, 50, 75, 90 %. ``pairs``: how many objects there were.
    """

    pairs: int
    quantiles: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return self.quantiles[len(self.quantiles) // 2]


@dataclass(frozen=True, kw_only=True)
class Find:
    """One thing that is marked or that a model says: ``corners`` in pixels of the model's frame, None for all of it.

    ``score`` is None for what is marked.
    """

    name: str
    index: int
    score: float | None = None
    corners: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture on which two models differ: 0 not at all, 1 wholly. ``frame`` is the frame's height and width."""

    picture: Picture
    frame: tuple[int, int]
    difference: float
    truth: tuple[Find, ...]
    before: tuple[Find, ...]
    after: tuple[Find, ...]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a lower precision may cost, in fractions: 0.01 is a point. See docs/accuracy.md and ADR 14.

    ``drop`` of the task's metric, ``class_drop`` of any class with ``least_instances`` of it or more. Without labels
    the metric is agreement with the FP32 model, of which ``disagreement`` and ``class_disagreement`` may be lost: None
    for five times ``drop`` and three times ``class_drop``.
    ``confidence_shift``: of the median score, either way. ``served_drop``: of what is found, and of what is right,
    above the served threshold. ``batch_difference``: between answers in different company.
    """

    drop: float = 0.01
    class_drop: float = 0.05
    disagreement: float | None = None
    class_disagreement: float | None = None
    confidence_shift: float = 0.05
    served_drop: float = 0.02
    batch_difference: float = 0.02
    least_instances: int = 20

    def of_metric(self, *, agreement: bool) -> float:
        """Return what the metric may lose, or the agreement."""
        return self.drop if not agreement else 5 * self.drop if self.disagreement is None else self.disagreement

    def of_class(self, *, agreement: bool) -> float:
        """Return what a class may lose of the metric, or of agreement."""
        if not agreement:
            return self.class_drop
        return 3 * self.class_drop if self.class_disagreement is None else self.class_disagreement

    def of_served(self, *, agreement: bool) -> float:
        """Return what may be lost of what is found, and right, above the served threshold."""
        return max(self.served_drop, self.of_metric(agreement=True)) if agreement else self.served_drop


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a model holds its budget: ``reasons`` why not, a sentence each; empty where ``held``.

    ``notes`` are what could not be held, and doubts: a drop whose interval crosses the budget. ``differences`` are
    the pictures on which the two differ most.
    """

    held: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    before: Score
    after: Score
    budget: Budget
    drop: Interval
    classes: tuple[ClassDrop, ...] = ()
    shift: Shift | None = None
    faults: tuple[Fault, ...] = ()
    company: tuple[Company, ...] = ()
    differences: tuple[Sample, ...] = field(default=())
