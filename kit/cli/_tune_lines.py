"""What ``kit tune`` shows: each measurement as it comes and a line of what is under way; then the result."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from kit.cli._text import printable

if TYPE_CHECKING:
    from kit.tune.document import Document, Row
    from kit.tune.values import Measurement, Stage, Told

_MOST_ROWS = 8


class Board:
    """A line on standard error for each measurement; below it, on a terminal, what is measured now and how long yet."""

    def __init__(self, *, shown: bool) -> None:
        self._console = Console(file=sys.stderr, quiet=not shown, highlight=False, soft_wrap=True, emoji=False)
        # Twice a second: a livelier one would be other work on the machine that is measured.
        self._status = self._console.status(Text("starting"), refresh_per_second=2)
        self._began_s = time.monotonic()
        self._latest: Measurement | None = None
        self._stage: Stage | None = None
        self._note = ""
        self._before = 0

    def __enter__(self) -> Board:
        if self._console.is_terminal and not self._console.quiet:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._status.stop()

    def tell(self, told: Told) -> None:
        """Show what came of the last measurement, and what is under way."""
        if told.note and told.note != self._note:
            self._note = told.note
            self._print(told.note)
        if told.latest is not None and told.latest is not self._latest:
            self._latest = told.latest
            self._print(_measured(told.latest))
        if told.stage is not self._stage and not self._console.is_terminal:
            self._print(f"{told.stage.value} ...")
        self._stage = told.stage
        room = max(20, self._console.width - 4)
        self._status.update(Text(printable(self._progress(told))[:room], no_wrap=True))

    def _print(self, line: str) -> None:
        self._console.print(Text(printable(line)))

    def _progress(self, told: Told) -> str:
        from kit.tune import words

        parts = [f"{told.stage.value} {told.measured + 1} of about {max(told.planned, told.measured + 1)}"]
        parts += [left] if (left := self._left(told)) else []
        if told.best is not None:
            parts.append(f"best {words.rate(told.best.capacity)}/s: {told.best.candidate.title}")
        return f"{', '.join(parts)}; now {told.candidate.title}"

    def _left(self, told: Told) -> str:
        """Return how long it may take yet, from how long it took until now."""
        if told.measured <= self._before:
            self._before, self._began_s = told.measured, time.monotonic()
            return ""
        each_s = (time.monotonic() - self._began_s) / (told.measured - self._before)
        left_s = each_s * max(0, told.planned - told.measured)
        return f"{_duration(left_s)} left" if left_s >= 1 else ""


def lines(found: Document, *, quiet: bool) -> Iterator[str]:
    """Yield the result as a person reads it; with ``quiet`` only the verdict, where it is none that holds."""
    verdict = printable(f"{found.verdict}: {found.summary}")
    if quiet:
        if found.verdict != "holds":
            yield verdict
        return
    yield printable(f"{found.model} on {found.target}: {found.asked}")
    yield verdict
    if found.best is not None:
        yield from _before(found)
        yield f"how sure? {printable(found.sure)}"
        yield ""
        yield from _table(found)
    if found.why:
        yield ""
        yield from (f"- {printable(reason)}" for reason in found.why)
    yield from _settings(found)


def _before(found: Document) -> Iterator[str]:
    from kit.tune import words

    before = found.before
    if before is None or before.best:
        return
    failed = next((made.failed for made in before.measurements if made.failed), "")
    told = failed if failed and not before.capacity else f"{words.rate(before.capacity)} requests/s"
    yield printable(f"now: {before.title}: {told}")


def _table(found: Document) -> Iterator[str]:
    shown = [row for row in found.candidates if row.confirmed or row.best or row.before]
    shown = shown if len(shown) > 1 else list(found.candidates)
    shown = shown[:_MOST_ROWS]
    width = max(len(row.title) for row in shown)
    yield f"  {'':{width}}  {'requests/s':>10}  {'between':>15}  {'p99 ms':>8}  {'memory':>9}"
    for row in shown:
        yield _row(row, width)
    others = len(found.candidates) - len(shown)
    if others:
        yield f"  and {others} more that had a short look; {found.considered} were considered"


def _row(row: Row, width: int) -> str:
    from kit.tune import words

    mark = "*" if row.best else " "
    between = f"{words.rate(row.low)} - {words.rate(row.high)}"
    return (
        f"{mark} {printable(row.title):{width}}  {words.rate(row.capacity):>10}  {between:>15}  "
        f"{words.milliseconds(row.p99_ms):>8}  {words.memory(row.memory_bytes):>9}{'  now' if row.before else ''}"
    )


def _settings(found: Document) -> Iterator[str]:
    """Yield what to do with the result, or what was done."""
    if not found.settings or (found.applied is None and found.best is not None and found.best.before):
        return
    yield ""
    applied = found.applied
    if applied is not None and applied.refused:
        yield printable(f"{applied.spec} stays as it is: {applied.refused.splitlines()[0]}")
    if applied is not None and applied.written:
        yield from (f"{applied.spec}:{e.line}: {e.key}: {e.after} (was {e.before})" for e in applied.written)
        yield f"next: kit generate {shlex.quote(applied.spec)}"
    elif applied is not None and not applied.refused:
        yield f"{applied.spec} says so already"
    elif found.verdict != "holds":
        yield f"nearest: {', '.join(f'{key}: {value}' for key, value in found.settings.items())}"
    elif len(found.targets) > 1:
        yield f"in the spec, at the model, which is made for {', '.join(found.targets)}:"
        yield "  per_target:"
        yield f"    {found.target}: {{{', '.join(f'{key}: {value}' for key, value in found.settings.items())}}}"
    else:
        yield "in the spec, at the model:"
        yield from (f"  {key}: {value}" for key, value in found.settings.items())
        options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in found.settings.items())
        yield f"or: kit generate MODEL ... {options}"


def _measured(made: Measurement) -> str:
    from kit.tune import words

    return f"{made.stage.value:13} {made.candidate.title}: {words.measurement(made)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
