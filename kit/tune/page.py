"""The result as one page that needs nothing but itself: no network, no scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from kit import templating
from kit.tune import plots, words
from kit.tune.document import Document, Row
from kit.tune.plots import Drawing
from kit.tune.values import Measurement


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the template shows."""

    found: Document
    finished: str
    finalists: tuple[Row, ...]
    others: tuple[Row, ...]
    failed: tuple[Measurement, ...]
    noisy: tuple[Measurement, ...]
    settings: Mapping[str, str]
    drawings: tuple[Drawing, ...]


def render(found: Document) -> str:
    """Return the page."""
    every = [made for row in found.candidates for made in row.measurements]
    drawn = (plots.frontier(found), plots.steps(found), plots.spread(found))
    page = Page(
        found=found,
        finished=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.finished_s)),
        finalists=tuple(row for row in found.candidates if row.confirmed or row.best or row.before),
        others=tuple(row for row in found.candidates if not (row.confirmed or row.best or row.before)),
        failed=tuple(made for made in every if made.failed),
        noisy=tuple(made for made in every if made.noisy),
        settings=found.settings,
        drawings=tuple(drawing for drawing in drawn if drawing is not None),
    )
    return templating.render("tune.html.j2", page, (words.milliseconds, words.rate, words.memory))
