"""The result as one page that needs nothing but itself: no network, no scripts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kit import templating
from kit.load import plots
from kit.load.document import Document
from kit.load.figures import Figures
from kit.load.plots import Plot


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table."""

    name: str
    figures: Figures
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the template shows."""

    found: Document
    begun: str
    rows: tuple[Row, ...]
    steps: tuple[Row, ...]
    plots: tuple[Plot, ...]


def render(found: Document) -> str:
    """Return the page."""
    steps = tuple(
        Row(
            name=phase.name,
            figures=phase.figures,
            best=found.knee is not None and phase.number == found.knee.number,
        )
        for phase in found.phases
    )
    rows = [Row(name=model.model, figures=model.figures) for model in found.models]
    drawn = (plots.over_time(found), plots.histogram(found), plots.throughput(found)) if found.total.answered else ()
    page = Page(
        found=found,
        begun=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.started_s)),
        rows=(*rows, *([Row(name="all", figures=found.total)] if len(rows) > 1 else [])),
        steps=steps if len(steps) > 1 else (),
        plots=tuple(plot for plot in drawn if plot is not None),
    )
    return templating.render("load.html.j2", page, (milliseconds, percent))


def milliseconds(value: float | None) -> str:
    """Return a time as the table has it."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def percent(value: float) -> str:
    """Return a share."""
    return f"{value:.2%}"
