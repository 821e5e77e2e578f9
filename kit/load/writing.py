"""The result as files: a page for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from kit import disk
from kit.load import page
from kit.load.document import Document
from kit.load.figures import Figures

REMEDY = "choose another --report"


def write(found: Document, folder: Path) -> Path:
    """Write ``load.json``, ``load.csv`` and ``load.html`` into a folder; return the page. Raises as ``put``."""
    return put(folder, "load", found, table(found), page.render(found))


def put(folder: Path, stem: str, found: object, rows: str, shown: str) -> Path:
    """Write a result as JSON, as CSV and as a page into a folder, each whole or not at all; return the page.

    Raises ``DiskFullError`` and ``NotWritableError``.
    """
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
    with disk.translated(folder, REMEDY):
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in (("json", text), ("csv", rows), ("html", shown)):
            disk.write_text(folder / f"{stem}.{kind}", content)
    return folder / f"{stem}.html"


def table(found: Document) -> str:
    """Return the figures as CSV: a row for all, for each model, step and second."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["kind", "name", "seconds", "due", "answered", "late", "refused", "failed", "rate", "mean_ms", "p50_ms",
         "p90_ms", "p95_ms", "p99_ms", "p99.9_ms", "max_ms"]
    )  # fmt: skip
    writer.writerows(_rows(found))
    return file.getvalue()


def _rows(found: Document) -> Iterator[list[object]]:
    yield _row("all", "all", found.total)
    for model in found.models:
        yield _row("model", model.model, model.figures)
    for phase in found.phases:
        yield _row("step", phase.number, phase.figures)
    for second in found.timeline:
        yield _row("second", second.second, second.figures)


def _row(kind: str, name: object, figures: Figures) -> list[object]:
    times = figures.response
    shown = (times.mean_ms, times.p50_ms, times.p90_ms, times.p95_ms, times.p99_ms, times.p999_ms, times.max_ms)
    return [
        kind, name, f"{figures.seconds:g}", figures.due, figures.answered, figures.late, figures.refused,
        figures.failed, f"{figures.rate:.3f}",
        *("" if value is None else f"{value:.3f}" for value in shown),
    ]  # fmt: skip
