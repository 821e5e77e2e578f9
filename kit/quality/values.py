"""What people decide on: everything that was measured of a model in each precision, on each target.

Metrics and their differences are from 0 to 1; times in milliseconds; sizes in bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kit.latency import Percentiles

FORMAT = "triton-edge-kit-quality/1"


class Verdict(enum.Enum):
    """What became of a precision on a target."""

    TRAINED = "as trained"
    HELD = "held"
    REFUSED = "refused"
    UNTRIED = "not tried"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A difference and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ClassQuality:
    """One class: how often it is in the validation set, and its metric before and after.

    ``drop`` is before less after, where its interval is known. ``judged``: it is often enough there to be held to the
    budget of a class.
    """

    name: str
    instances: int
    before: float
    after: float
    drop: Interval | None = None
    judged: bool = True

    @property
    def lost(self) -> float:
        """How much the metric fell; below 0: it rose."""
        return self.before - self.after if self.drop is None else self.drop.value


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How confident a model's answers are: counts of scores in equal bins from 0 to 1, before and after.

    Without bins only the medians are known.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    median_before: float
    median_after: float


@dataclass(frozen=True, kw_only=True)
class Box:
    """A detection: corners in pixels of the picture as it was sent to the model, left, top, right, bottom."""

    corners: tuple[float, float, float, float]
    label: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture with both models' detections; ``jpeg`` is the frame as the model got it.

    ``truth`` is what people marked in it (its scores are not read). ``words_before`` and ``words_after`` are answers
    without boxes: a class and how sure the model is; ``words_truth`` is what people say there.
    """

    name: str
    jpeg: bytes
    before: tuple[Box, ...] = ()
    after: tuple[Box, ...] = ()
    truth: tuple[Box, ...] = ()
    words_before: str = ""
    words_after: str = ""
    words_truth: str = ""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Both models' times at one batch size, and their ratio with its interval: below 1 is faster."""

    batch: int
    before: Percentiles
    after: Percentiles
    ratio: Interval


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the search for layers to put back: how many were, and what came of it.

    ``drop`` is that of the metric; ``ratio`` that of the times to the model's as it was trained, where it was measured.
    ``kept``: the next step was built on it. Without ``whole``, only a part of the pictures was shown: that was enough.
    """

    reverted: int
    drop: float
    ratio: float | None = None
    held: bool
    kept: bool = True
    whole: bool = True


@dataclass(frozen=True, kw_only=True)
class TrialQuality:
    """One precision on one target: what it was held to and what came out. ``before`` is the model as it was trained.

    ``reasons`` are sentences: why it was refused or not tried, or what was not sure. ``others`` are further metrics,
    before and after (``mAP50``). ``metric`` is empty where nothing was measured: the precision of the training, or one
    that was not tried (``tried``) or could not be made (not ``held``). ``kept`` counts what stays in float, by reason;
    ``reverted`` names what was put back into float, and ``steps`` how that was found.
    """

    precision: str
    chosen: bool
    held: bool
    tried: bool = True
    method: str = ""
    reasons: tuple[str, ...] = ()
    metric: str = ""
    agreement: bool = False
    images: int = 0
    before: float = 0.0
    after: float = 0.0
    drop: Interval | None = None
    budget: float = 0.0
    class_budget: float = 0.0
    others: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    classes: tuple[ClassQuality, ...] = ()
    scores: Distribution | None = None
    bytes_before: int = 0
    bytes_after: int = 0
    timings: tuple[Timing, ...] = ()
    not_timed: str = ""
    quantized: int = 0
    reverted: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    kept: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What became of it."""
        if not self.tried:
            return Verdict.UNTRIED
        if not self.held:
            return Verdict.REFUSED
        return Verdict.HELD if self.metric else Verdict.TRAINED


@dataclass(frozen=True, kw_only=True)
class TargetQuality:
    """All that was tried for one target.

    ``measured_on`` is what answered: ``ONNX Runtime 1.31.1 on this machine's CPU``. ``not_measured`` says what of it
    tells nothing of the target itself, and why: ``speed: needs a Tesla T4``.
    """

    target: str
    runtime: str
    measured_on: str
    trials: tuple[TrialQuality, ...]
    not_measured: str = ""


@dataclass(frozen=True, kw_only=True)
class CalibrationQuality:
    """What the ranges were taken from: how many of how many pictures, what share of their variety, what was warned.

    The brightness of pictures is counted in equal bins from black to white.
    """

    source: str
    chosen: int
    available: int
    covered: float
    brightness_chosen: tuple[int, ...] = ()
    brightness_available: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The content of the quality report of one model."""

    format: str = FORMAT
    name: str
    kit: str
    source: str
    task: str
    validation: str
    validation_warnings: tuple[str, ...] = ()
    calibration: CalibrationQuality | None = None
    targets: tuple[TargetQuality, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""

    def without_pictures(self) -> Quality:
        """Return the same, its samples without their bytes: all but a page does without them."""
        return replace(self, targets=tuple(replace(t, trials=tuple(map(_bare, t.trials))) for t in self.targets))


def _bare(trial: TrialQuality) -> TrialQuality:
    return replace(trial, samples=tuple(replace(sample, jpeg=b"") for sample in trial.samples))
