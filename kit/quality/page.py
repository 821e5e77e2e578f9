"""The quality report as one page that needs nothing but itself: no network, no scripts; for screens and paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kit import templating
from kit.quality import charts, pictures, words
from kit.quality.charts import BudgetLine, Histogram, Whisker
from kit.quality.pictures import Album, Pair, Picture
from kit.quality.values import (
    CalibrationQuality,
    ClassQuality,
    Quality,
    TargetQuality,
    Timing,
    TrialQuality,
    Verdict,
)

_MARKS = {Verdict.TRAINED: "●", Verdict.HELD: "✓", Verdict.REFUSED: "✗", Verdict.UNTRIED: "\N{EN DASH}"}
_BRIGHTNESS = ("available", "chosen")
_SCORES = ("before", "after")
_FILTERS = (words.allowed, words.metric, words.milliseconds, words.points, words.share, words.size)


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class in the table: ``order`` are its places when sorted by loss, name and number."""

    quality: ClassQuality
    change: str
    between: str
    bar: float
    beyond: bool
    order: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """Times at one batch size, and both as marks on a line."""

    timing: Timing
    answers: str
    speed: str
    speeds: str
    before: Whisker
    after: Whisker


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """One precision on one target, as it is laid out; ``name`` is its place on the page."""

    trial: TrialQuality
    name: str
    precision: str
    verdict: str
    mark: str
    kind: str
    change: str
    between: str
    line: BudgetLine | None
    line_words: str
    smaller: str
    timings: tuple[TimingRow, ...]
    classes: tuple[ClassRow, ...]
    scores: Histogram | None
    pairs: tuple[Pair, ...]
    has_details: bool

    @property
    def first_timing(self) -> TimingRow | None:
        """The smallest batch's times."""
        return self.timings[0] if self.timings else None


@dataclass(frozen=True, kw_only=True)
class TargetView:
    """A target and what was tried for it."""

    target: TargetQuality
    conclusion: str
    trials: tuple[TrialView, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationView:
    """Where ranges were taken from."""

    calibration: CalibrationQuality
    brightness: Histogram | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that the template lays out."""

    quality: Quality
    targets: tuple[TargetView, ...]
    calibration: CalibrationView | None
    pictures: tuple[Picture, ...]
    metrics: tuple[tuple[str, str], ...]
    agreement: bool


def render(quality: Quality) -> str:
    """Return the page, HTML in UTF-8; equal qualities give equal pages. Names in it are text, whatever they hold."""
    return templating.render("quality.html.j2", _page(quality), _FILTERS, _shown)


def _shown(value: object) -> object:
    """Return what stands on the page for a value: nothing in a name acts on the reader, or cannot be encoded."""
    if value is None:
        return ""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return words.printable(value).encode("utf-8", "backslashreplace").decode()


def _page(quality: Quality) -> Page:
    album = Album()
    targets = tuple(_target(target, number, album) for number, target in enumerate(quality.targets))
    trials = [trial for target in quality.targets for trial in target.trials]
    names = dict.fromkeys(name for trial in trials for name in (trial.metric, *trial.others) if name)
    return Page(
        quality=quality,
        targets=targets,
        calibration=_calibration(quality.calibration),
        pictures=tuple(album.pictures.values()),
        metrics=tuple((name, words.meaning(name)) for name in names),
        agreement=any(trial.agreement for trial in trials),
    )


def _target(target: TargetQuality, number: int, album: Album) -> TargetView:
    trials = tuple(_trial(trial, f"trial-{number}-{place}", album) for place, trial in enumerate(target.trials))
    return TargetView(target=target, conclusion=words.conclusion(target), trials=trials)


def _trial(trial: TrialQuality, name: str, album: Album) -> TrialView:
    change = None if trial.drop is None else words.change(trial.drop)
    scores = trial.scores
    histogram = scores and charts.histogram(
        scores.before, scores.after, _SCORES, medians=(scores.median_before, scores.median_after)
    )
    pairs = pictures.most_different_first([album.pair(sample) for sample in trial.samples])
    timings = tuple(_timing(timing) for timing in sorted(trial.timings, key=lambda t: t.batch))
    parts = (trial.metric, trial.method, timings, trial.classes, scores, pairs, trial.kept, trial.reverted, trial.steps)
    return TrialView(
        trial=trial,
        name=name,
        precision=words.precision(trial.precision),
        verdict=trial.verdict.value,
        mark=_MARKS[trial.verdict],
        kind=trial.verdict.name.lower(),
        change=words.points(change.value if change else trial.after - trial.before),
        between=words.between(change) if change else "",
        line=charts.budget_line(change, trial.budget) if change else None,
        line_words=charts.described(change, trial.budget) if change else "",
        smaller=words.smaller(trial),
        timings=timings,
        classes=_classes(trial),
        scores=histogram or None,
        pairs=pairs,
        has_details=any(parts),
    )


def _timing(timing: Timing) -> TimingRow:
    before, after = charts.whiskers(timing.before, timing.after)
    return TimingRow(
        timing=timing,
        answers=f"{' and '.join(dict.fromkeys(str(p.answers) for p in (timing.before, timing.after)))} times",
        speed=words.speed(timing.ratio.value),
        speeds=words.speeds(timing.ratio),
        before=before,
        after=after,
    )


def _classes(trial: TrialQuality) -> tuple[ClassRow, ...]:
    """Return the classes, what lost most first; what cannot be told comes last."""

    def loss(one: ClassQuality) -> float:
        return -one.lost if math.isfinite(one.lost) else math.inf

    worst = sorted(trial.classes, key=lambda one: (loss(one), one.name))
    by_name = {id(one): n for n, one in enumerate(sorted(worst, key=lambda one: (len(one.name), one.name)))}
    by_number = {id(one): n for n, one in enumerate(sorted(worst, key=lambda one: -one.instances))}
    widest = max((abs(one.lost) for one in worst if math.isfinite(one.lost)), default=0.0)
    return tuple(
        ClassRow(
            quality=one,
            change=words.points(-one.lost),
            between=words.between(words.change(one.drop)) if one.drop else "",
            bar=charts.bar(one.lost, max(widest, trial.class_budget)),
            beyond=one.judged and one.lost > trial.class_budget > 0,
            order=(place, by_name[id(one)], by_number[id(one)]),
        )
        for place, one in enumerate(worst)
    )


def _calibration(calibration: CalibrationQuality | None) -> CalibrationView | None:
    if calibration is None:
        return None
    brightness = charts.histogram(
        calibration.brightness_available, calibration.brightness_chosen, _BRIGHTNESS, by_share=True
    )
    return CalibrationView(calibration=calibration, brightness=brightness)
