"""Plots of a tuning as SVG: scales, places and words; ``templates/tune.html.j2`` lays them out. Sizes in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.load.plots import WIDTH, Line, Plot, Scale, Tick, across, decades, linear, logarithmic, path, upwards
from kit.tune import words
from kit.tune.document import Document, Row
from kit.tune.values import Measurement, Stage, Step

_SMALLEST, _LARGEST = 3.0, 12.0
_LABEL_HEIGHT, _LABEL_WIDTH = 14.0, 6.3
_ROW = 26.0
_MOST_LINES = 5
_LEFT = 230


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A circle; ``words`` are told of it, ``label`` stands beside it, at ``label_left`` (its end if ``ends``)."""

    kind: str
    left: float
    top: float
    radius: float
    words: str
    label: str = ""
    label_left: float = 0.0
    label_top: float = 0.0
    ends: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A line across the whole plot at something that is asked for, and its words."""

    x1: float
    y1: float
    x2: float
    y2: float
    text: str
    text_left: float
    text_top: float
    ends: bool = False


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A plot with circles and rules; ``note`` says how to read it."""

    plot: Plot
    note: str
    dots: tuple[Dot, ...] = ()
    rules: tuple[Rule, ...] = ()


def frontier(found: Document) -> Drawing | None:
    """Draw what each candidate holds against its p99, its memory as its size; None where that is less than two."""
    rows = [row for row in found.candidates if row.capacity > 0 and row.p99_ms]
    if len(rows) < 2:
        return None
    x, y = _scales(found, rows)
    best_of_all = sorted((row for row in rows if row.frontier), key=lambda row: row.capacity)
    line = Line(kind="edge", name="", path=path([(x(r.capacity), y(r.p99_ms or y.low)) for r in best_of_all]))
    ordered = sorted(rows, key=lambda row: (row.best or row.before, row.frontier))
    sizes = [row.memory_bytes for row in rows if row.memory_bytes]
    size = f"; the larger, the more memory ({words.memory(min(sizes))} to {words.memory(max(sizes))})" if sizes else ""
    plot = Plot(
        title="What each holds, and how long its answers take", across="requests a second that it holds",
        upwards="p99, ms", columns=linear(x), rows=logarithmic(y), lines=(line,), marks=(),
    )  # fmt: skip
    return Drawing(
        plot=plot,
        note=f"Right and down is better{size}. No other is better than those on the line in all three.",
        dots=_labelled([_dot(row, x, y, sizes) for row in ordered], plot),
        rules=(*_needed(found, x, plot), _allowed(found, y, plot)),
    )


def steps(found: Document) -> Drawing | None:
    """Draw the p99 of the finalists, and of what is there, as their load rises; None where there is none."""
    finalists = [row for row in found.candidates if row.confirmed or row.before][:_MOST_LINES]
    drawn = [row for row in finalists if len(_steps_of(row)) > 1]
    if not drawn:
        return None
    every = [step for row in drawn for step in _steps_of(row)]
    x = across(0, max(found.needed_rate or 0.0, *(step.asked_rate for step in every)) * 1.05)
    y = upwards(*decades([step.p99_ms or 1.0 for step in every] + [found.need.p99_ms]), logarithmic=True)
    plot = Plot(
        title="How answers slow down as the load rises", across="requests a second", upwards="p99, ms",
        columns=linear(x), rows=logarithmic(y), marks=(),
        lines=tuple(
            Line(kind=f"c{n}", name=row.title, path=path(places))
            for n, row in enumerate(drawn)
            if (places := [(x(step.asked_rate), y(step.p99_ms or y.low)) for step in _typical(row)])
        ),
    )  # fmt: skip
    dots = tuple(_of_step(n, row.title, s, x, y) for n, row in enumerate(drawn) for s in _steps_of(row))
    return Drawing(
        plot=plot,
        note="Confirmations of the finalists, and what the repository says now. A hollow point was not held.",
        dots=dots,
        rules=(*_needed(found, x, plot), _allowed(found, y, plot)),
    )


def _of_step(number: int, title: str, step: Step, x: Scale, y: Scale) -> Dot:
    return Dot(
        kind=f"c{number}{'' if step.held else ' lost'}",
        left=x(step.asked_rate),
        top=y(step.p99_ms or y.low),
        radius=3.5,
        words=f"{title}: {words.rate(step.asked_rate)} requests/s asked for, {words.rate(step.rate)} answered, "
        f"p50 {words.milliseconds(step.p50_ms)} ms, p99 {words.milliseconds(step.p99_ms)} ms, "
        f"{step.fail_ratio:.2%} failed{'' if step.held else ': not held'}",
    )


def spread(found: Document) -> Drawing | None:
    """Draw what each finalist held in each of its measurements; None where none was measured twice."""
    rows = [row for row in found.candidates if row.confirmed or row.before]
    if not any(len(_counted(row)) > 1 for row in rows):
        return None
    highest = max(max(row.high, found.needed_rate or 0.0, *(made.capacity for made in _counted(row))) for row in rows)
    x = Scale(low=0.0, high=highest * 1.05 or 1.0, start=_LEFT, end=WIDTH - 14)
    height = round(len(rows) * _ROW + 60)
    places = [24 + n * _ROW for n in range(len(rows))]
    plot = Plot(
        title="How sure that is", across="requests a second that were held", upwards="", columns=linear(x),
        rows=tuple(Tick(place=place, text=row.title) for place, row in zip(places, rows, strict=True)),
        lines=tuple(
            Line(kind="range", name="", path=path([(x(row.low), place), (x(row.high), place)]))
            for place, row in zip(places, rows, strict=True)
        ),
        marks=(), height=height, top=12, bottom=height - 40, left=_LEFT,
    )  # fmt: skip
    dots = (
        Dot(
            kind=_kind(row),
            left=x(made.capacity),
            top=place,
            radius=4.5,
            words=f"{row.title}: {words.measurement(made)}",
        )
        for place, row in zip(places, rows, strict=True)
        for made in _counted(row)
    )
    return Drawing(
        plot=plot,
        note="A point for each measurement; those of the finalists were taken in turn, so that all met the same noise.",
        dots=tuple(dots),
        rules=_needed(found, x, plot),
    )


def _scales(found: Document, rows: Sequence[Row]) -> tuple[Scale, Scale]:
    x = across(0, max([row.high for row in rows] + [row.capacity for row in rows] + [found.needed_rate or 0]) * 1.08)
    y = upwards(*decades([row.p99_ms or 1.0 for row in rows] + [found.need.p99_ms]), logarithmic=True)
    return x, y


def _dot(row: Row, x: Scale, y: Scale, sizes: Sequence[int]) -> Dot:
    named = row.best or row.before or row.frontier
    return Dot(
        kind=_kind(row),
        left=x(row.capacity),
        top=y(row.p99_ms or y.low),
        radius=_radius(row.memory_bytes, sizes),
        words=f"{row.title}: {words.rate(row.capacity)} requests/s ({words.rate(row.low)} to {words.rate(row.high)}), "
        f"p99 {words.milliseconds(row.p99_ms)} ms, memory {words.memory(row.memory_bytes)}",
        label=f"{'best: ' if row.best else 'now: ' if row.before else ''}{row.title}" if named else "",
    )


def _kind(row: Row) -> str:
    return "best" if row.best else "before" if row.before else "front" if row.frontier else "other"


def _radius(size: int | None, sizes: Sequence[int]) -> float:
    """Return a radius whose area is as the size is to the largest that there is."""
    return 6.0 if size is None else max(_SMALLEST, round(_LARGEST * math.sqrt(size / max(sizes)), 1))


def _labelled(dots: Iterable[Dot], plot: Plot) -> tuple[Dot, ...]:
    """Return the circles with places for their labels, on the side with room; one that finds none has none."""
    found: list[Dot] = []
    boxes: list[tuple[float, float, float]] = []
    for dot in sorted(dots, key=lambda each: each.kind not in ("best", "before")):
        wide = len(dot.label) * _LABEL_WIDTH
        ends = dot.left + dot.radius + 4 + wide > plot.right
        left = dot.left - dot.radius - 4 - wide if ends else dot.left + dot.radius + 4
        free = [
            top
            for top in (dot.top + shift for shift in (4.0, -8.0, 16.0, -20.0, 28.0))
            if plot.top + 8 <= top <= plot.bottom - 2
            and not any(abs(top - t) < _LABEL_HEIGHT and left < end and start < left + wide for t, start, end in boxes)
        ]
        if dot.label and free and left >= plot.left:
            boxes.append((free[0], left, left + wide))
            place = left + wide if ends else left
            found.append(_with_label(dot, dot.label, place, free[0], ends=ends))
        else:
            found.append(_with_label(dot, "", 0.0, 0.0, ends=False))
    return tuple(reversed(found))


def _with_label(dot: Dot, label: str, left: float, top: float, *, ends: bool) -> Dot:
    return Dot(
        kind=dot.kind, left=dot.left, top=dot.top, radius=dot.radius, words=dot.words, label=label,
        label_left=round(left, 1), label_top=round(top, 1), ends=ends,
    )  # fmt: skip


def _needed(found: Document, x: Scale, plot: Plot) -> tuple[Rule, ...]:
    if found.needed_rate is None:
        return ()
    at, text = x(found.needed_rate), f"needed: {words.rate(found.needed_rate)}"
    ends = at + 4 + len(text) * _LABEL_WIDTH > plot.right
    return (
        Rule(
            x1=at, x2=at, y1=plot.top, y2=plot.bottom, text=text, text_left=at - 4 if ends else at + 4,
            text_top=plot.bottom - 4, ends=ends,
        ),
    )  # fmt: skip


def _allowed(found: Document, y: Scale, plot: Plot) -> Rule:
    at = y(found.need.p99_ms)
    return Rule(
        x1=plot.left, x2=plot.right, y1=at, y2=at, text=f"allowed: {found.need.p99_ms:g} ms",
        text_left=plot.left + 4, text_top=at - 4,
    )  # fmt: skip


def _steps_of(row: Row) -> list[Step]:
    """Return every step that has a p99."""
    return [step for made in _counted(row) for step in made.steps if step.p99_ms is not None]


def _typical(row: Row) -> list[Step]:
    """Return the steps of the measurement that came nearest to what the candidate is said to hold, by their rate."""
    made = min(_counted(row), key=lambda each: abs(each.capacity - row.capacity))
    return sorted((step for step in made.steps if step.p99_ms is not None), key=lambda step: step.asked_rate)


def _counted(row: Row) -> list[Measurement]:
    """Return the confirmations, or where there are none, what else was measured under load."""
    confirmed = [made for made in row.measurements if made.stage is Stage.CONFIRM]
    return confirmed or [made for made in row.measurements if made.stage is not Stage.SERVICE]
