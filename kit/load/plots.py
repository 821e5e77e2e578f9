"""Plots as SVG: scales, ticks and lines in numbers; ``templates/load.html.j2`` lays them out. Sizes in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kit.load.document import Bar, Document

WIDTH, HEIGHT = 720, 276
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 28, 40
_DECADE = (1.0, 2.0, 5.0)
_BARS_IN_A_DECADE = 20


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis, in pixels, and its words."""

    place: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point or a bar, and what is told of it."""

    left: float
    top: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A named line; ``path`` is SVG's. ``kind`` is its class on the page."""

    kind: str
    name: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot, ready to be drawn."""

    title: str
    across: str
    upwards: str
    columns: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A linear scale from 0, or a logarithmic one."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return where a value stands."""
        if self.logarithmic:
            value, low, high = (math.log10(max(v, self.low)) for v in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        share = (value - low) / ((high - low) or 1.0)
        return round(self.start + share * (self.end - self.start), 2)


def across(low: float, high: float, *, logarithmic: bool = False) -> Scale:
    """Return a horizontal scale."""
    return Scale(low=low, high=high, start=_LEFT, end=WIDTH - _RIGHT, logarithmic=logarithmic)


def upwards(low: float, high: float, *, logarithmic: bool = False) -> Scale:
    """Return a vertical scale."""
    return Scale(low=low, high=high, start=HEIGHT - _BOTTOM, end=_TOP, logarithmic=logarithmic)


def over_time(found: Document) -> Plot:
    """Draw percentiles of each second."""
    seconds = [second for second in found.timeline if second.figures.response.count]
    values = [s.figures.response.p99_ms or 0 for s in seconds] + [s.figures.response.p50_ms or 1 for s in seconds]
    x = across(0, max(found.seconds, 1.0))
    y = upwards(*decades(values), logarithmic=True)

    def line(kind: str, name: str, value: Callable[[int], float | None]) -> Line:
        points = [(x(seconds[n].second + 0.5), y(value(n) or y.low)) for n in range(len(seconds))]
        return Line(kind=kind, name=name, path=path(points))

    lines = (
        line("p99", "p99", lambda n: seconds[n].figures.response.p99_ms),
        line("p90", "p90", lambda n: seconds[n].figures.response.p90_ms),
        line("p50", "p50", lambda n: seconds[n].figures.response.p50_ms),
    )
    step = (WIDTH - _LEFT - _RIGHT) / max(1.0, found.seconds)
    marks = tuple(
        Mark(
            left=x(s.second), top=_TOP, width=max(1.0, step), height=HEIGHT - _TOP - _BOTTOM,
            words=f"second {s.second}: {s.figures.rate:.0f} answers, p50 {_ms(s.figures.response.p50_ms)} ms, "
            f"p99 {_ms(s.figures.response.p99_ms)} ms, {s.figures.failed} failed",
        )
        for s in seconds
    )  # fmt: skip
    return Plot(
        title="Response time over time", across="seconds since the warm-up", upwards="ms", columns=linear(x),
        rows=logarithmic(y), lines=lines, marks=marks,
    )  # fmt: skip


def histogram(found: Document) -> Plot:
    """Draw how many requests took how long."""
    bars = gathered(found.histogram)
    low, high = decades([bar.upto_ms for bar in bars])
    x = across(low, high, logarithmic=True)
    y = upwards(0, max((bar.count for bar in bars), default=1))
    width = 10 ** (1 / _BARS_IN_A_DECADE)
    marks = []
    for bar in bars:
        left, right = x(bar.upto_ms / width), x(bar.upto_ms)
        marks.append(
            Mark(left=left, top=y(bar.count), width=max(1.0, right - left - 1), height=y(0) - y(bar.count),
                 words=f"{bar.count} requests up to {_ms(bar.upto_ms)} ms")
        )  # fmt: skip
    return Plot(
        title="Response times", across="ms", upwards="requests", columns=logarithmic(x), rows=linear(y), lines=(),
        marks=tuple(marks),
    )  # fmt: skip


def throughput(found: Document) -> Plot | None:
    """Draw latency against answers a second: a point for each step, or each second where there is one phase."""
    several = len(found.phases) > 1
    parts = [phase.figures for phase in found.phases] if several else [second.figures for second in found.timeline]
    parts = [part for part in parts if part.response.count]
    if len(parts) < 2:
        return None
    x = across(0, max(part.rate for part in parts) * 1.05)
    values = [value or 1.0 for part in parts for value in (part.response.p50_ms, part.response.p99_ms)]
    y = upwards(*decades(values), logarithmic=True)
    lines = []
    if several:
        for kind, found_ms in (
            ("p99", [p.response.p99_ms for p in parts]),
            ("p50", [p.response.p50_ms for p in parts]),
        ):
            points = [(x(part.rate), y(value or y.low)) for part, value in zip(parts, found_ms, strict=True)]
            lines.append(Line(kind=kind, name=kind, path=path(points)))
    marks = tuple(
        Mark(left=x(part.rate) - 4, top=y(part.response.p99_ms or y.low) - 4, width=8, height=8,
             words=f"{part.rate:.1f} answers a second of {part.target_rate:.1f} due: p50 {_ms(part.response.p50_ms)}, "
             f"p99 {_ms(part.response.p99_ms)} ms, {part.fail_ratio:.2%} failed")
        for part in parts
    )  # fmt: skip
    each = "a point for each step" if several else "a point for each second (p99)"
    return Plot(
        title=f"Throughput against latency, {each}", across="answers a second", upwards="ms", columns=linear(x),
        rows=logarithmic(y), lines=tuple(lines), marks=marks,
    )  # fmt: skip


def gathered(bars: Sequence[Bar]) -> list[Bar]:
    """Return fewer and wider bars: twenty in a decade, none lost."""
    found: dict[int, int] = {}
    for bar in bars:
        place = math.ceil(math.log10(max(bar.upto_ms, 1e-3)) * _BARS_IN_A_DECADE - 1e-9)
        found[place] = found.get(place, 0) + bar.count
    return [Bar(upto_ms=10 ** (place / _BARS_IN_A_DECADE), count=count) for place, count in sorted(found.items())]


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return SVG's words for a line through points."""
    return " ".join(f"{'L' if n else 'M'}{x:g},{y:g}" for n, (x, y) in enumerate(points))


def decades(values: Sequence[float]) -> tuple[float, float]:
    """Return round numbers (1, 2 or 5 by powers of ten) around all values above 0."""
    above = [value for value in values if value > 0] or [1.0]
    steps = [digit * 10.0**power for power in range(-3, 8) for digit in _DECADE]
    low = max((step for step in steps if step <= min(above)), default=steps[0])
    high = min((step for step in steps if step > max(above)), default=steps[-1])
    return low, high


def linear(scale: Scale) -> tuple[Tick, ...]:
    """Return about five round places."""
    span = scale.high - scale.low
    rough = span / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (*_DECADE, 10.0) if digit * power >= rough)
    return tuple(
        Tick(place=scale(scale.low + n * step), text=f"{scale.low + n * step:g}") for n in range(int(span / step) + 1)
    )  # fmt: skip


def logarithmic(scale: Scale) -> tuple[Tick, ...]:
    """Return 1, 2 and 5 of each power of ten; only powers where there are many."""
    wide = scale.high / scale.low > 1e4
    digits = (1.0,) if wide else _DECADE
    steps = [digit * 10.0**power for power in range(-3, 8) for digit in digits]
    inside = [step for step in steps if scale.low <= step * 1.0001 and step <= scale.high * 1.0001]
    return tuple(Tick(place=scale(step), text=f"{step:g}") for step in inside)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
