"""The result as files: a page for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from kit import disk
from kit.load.writing import REMEDY, put
from kit.tune import page
from kit.tune.document import Document, Row
from kit.tune.values import Measurement, Step


def write(found: Document, folder: Path) -> Path:
    """Write ``tune.json``, ``tune.csv`` and ``tune.html`` into a folder; return the page. Raises as ``put``."""
    return put(folder, "tune", found, table(found), page.render(found))


def require(folder: Path) -> None:
    """Make the folder of a report, and see that it can be written: before the quarter of an hour that it reports.

    Raises ``DiskFullError`` and ``NotWritableError``.
    """
    with disk.translated(folder, REMEDY):
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / ".tune.html.partial"
        trial.write_text("", encoding="utf-8")
        trial.unlink()


def table(found: Document) -> str:
    """Return the measurements as CSV: a row for each step of each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["variant", "instances", "max_batch_size", "queue_delay_us", "threads", "stage", "measurement", "capacity",
         "memory_bytes", "failed", "noisy", "asked_rate", "rate", "p50_ms", "p99_ms", "fail_ratio", "mean_batch",
         "held"]
    )  # fmt: skip
    writer.writerows(_rows(found))
    return file.getvalue()


def _rows(found: Document) -> Iterator[list[object]]:
    for row in found.candidates:
        for number, made in enumerate(row.measurements, 1):
            if not made.steps:
                yield [*_of(row, number, made), *[""] * 7]
            for step in made.steps:
                yield [*_of(row, number, made), *_step(step)]


def _of(row: Row, number: int, made: Measurement) -> list[object]:
    which = row.candidate
    return [
        which.variant, which.instances, which.max_batch_size, which.queue_delay_us, which.threads, made.stage.value,
        number, f"{made.capacity:.3f}", "" if made.memory_bytes is None else made.memory_bytes, made.failed, made.noisy,
    ]  # fmt: skip


def _step(step: Step) -> list[object]:
    times = ("" if value is None else f"{value:.3f}" for value in (step.p50_ms, step.p99_ms))
    batch = "" if step.mean_batch is None else f"{step.mean_batch:.2f}"
    return [
        f"{step.asked_rate:.3f}",
        f"{step.rate:.3f}",
        *times,
        f"{step.fail_ratio:.5f}",
        batch,
        str(step.held).lower(),
    ]
