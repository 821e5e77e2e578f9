"""A comparison as one HTML file that needs nothing else: no network, no scripts but a little of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from kit import __version__, templating
from kit.blame import words
from kit.blame.values import Comparison
from kit.errors import NotWritableError

_TEMPLATE = "compare.html.j2"
_HEIGHT = 220
"""Of the chart, in pixels."""

_GRID_DB, _MOST_DB = 20, 140.0
_BAR_WIDTH = 14
_LEAST_WIDTH = 3
_WIDEST = 1100


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A layer in the chart, in pixels from the top left."""

    place: int
    x: float
    y: float
    width: float
    height: float
    style: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """SQNR by layer. ``lines`` are (y, label) of the grid, ``least`` is where a layer diverges."""

    width: float
    height: float
    bars: tuple[Bar, ...]
    lines: tuple[tuple[float, str], ...]
    least: float


def require_writable(path: Path | None) -> None:
    """Raise ``NotWritableError`` where a page cannot be written, before any work."""
    if path is not None and not path.resolve().parent.is_dir():
        raise NotWritableError(f"{path.parent} is no folder; make it, or choose another place for the page")


@dataclass(frozen=True, kw_only=True)
class _Page:
    """All that the template lays out."""

    found: Comparison
    verdict: str
    asked: str
    blame: tuple[tuple[str, str], ...]
    rows: str | None
    metric: str | None
    chart: Chart | None
    version: str


def write(found: Comparison, path: Path) -> None:
    """Write the page. Raises ``NotWritableError``."""
    try:
        path.write_text(render(found), encoding="utf-8")
    except OSError as error:
        raise NotWritableError(f"{path} cannot be written: {error.strerror}") from error


def render(found: Comparison) -> str:
    """Return the page as text."""
    page = _Page(
        found=found,
        verdict=words.verdict(found),
        asked=words.asked(found),
        blame=words.blame(found),
        rows=words.rows(found.rows) if found.rows else None,
        metric=words.metric(found.metric) if found.metric else None,
        chart=_chart(found) if found.layers else None,
        version=__version__,
    )
    return templating.render(_TEMPLATE, page, (words.decibels, words.place))


def _chart(found: Comparison) -> Chart:
    step = max(_LEAST_WIDTH, min(_BAR_WIDTH, _WIDEST / len(found.layers)))
    top = _top(found)
    bars = tuple(_bar(found, place, step, top) for place in range(len(found.layers)))
    lines = tuple((_y(db, top), f"{db:g}") for db in range(0, int(top) + 1, _GRID_DB))
    return Chart(width=step * len(bars), height=_HEIGHT, bars=bars, lines=lines, least=_y(found.least_sqnr_db, top))


def _top(found: Comparison) -> float:
    """Return the SQNR at the chart's top: that of the best tensors which are not equal, on a line of the grid."""
    known = [layer.sqnr_db for layer in found.layers if layer.sqnr_db < _MOST_DB]
    return _GRID_DB * math.ceil(max(*known, found.least_sqnr_db + _GRID_DB, _GRID_DB) / _GRID_DB)


def _bar(found: Comparison, place: int, step: float, top: float) -> Bar:
    layer = found.layers[place]
    styles = (("culprit", place == found.culprit), ("diverges", layer.diverges), ("decided", layer.decided))
    y = min(_y(layer.sqnr_db, top), _HEIGHT - 2)
    return Bar(
        place=place,
        x=round(place * step, 2),
        y=round(y, 2),
        width=round(max(1.0, step - 1), 2),
        height=round(_HEIGHT - y, 2),
        style=next((style for style, holds in styles if holds), "fine"),
        label=words.describe(layer),
    )


def _y(db: float, top: float) -> float:
    """Return how far from the top an SQNR stands."""
    return round(_HEIGHT * (1 - min(max(db, 0.0), top) / top), 2)
