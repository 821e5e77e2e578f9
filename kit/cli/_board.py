"""What a person sees of several models at once: one table on a terminal, lines with the model's name elsewhere."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kit.batch import Crew
from kit.cli._display import MARK, STAGE_WIDTH, WORDS
from kit.cli._text import printable
from kit.jobs import Job, Outcome
from kit.pipeline import Result
from kit.worker import Done

_PER_SECOND = 10


@dataclass
class _Row:
    """A model at work."""

    start: float = field(default_factory=time.monotonic)
    what: str = "begins"
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))


class Board:
    """Writes to standard error, so that standard output stays for results."""

    def __init__(self, jobs: Sequence[Job], crew: Crew, *, quiet: bool = False) -> None:
        self._console = Console(file=sys.stderr, quiet=quiet, highlight=False, soft_wrap=True, emoji=False)
        self._width = max(len(job.spec.name) for job in jobs)
        self._crew = crew
        self._count = len(jobs)
        self._ended = 0
        self._rows: dict[str, _Row] = {}
        terminal = self._console.is_terminal and not quiet
        self._live = Live(
            console=self._console, get_renderable=self._table, refresh_per_second=_PER_SECOND, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        ) if terminal else None  # fmt: skip

    def __enter__(self) -> Board:
        at_once = "one at a time" if self._crew.workers == 1 else f"{self._crew.workers} at a time"
        self._console.print(Text(f"{self._count} models, {at_once} ({self._crew.reason})", style="dim"))
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def begun(self, name: str) -> None:
        """Add a row."""
        self._rows[name] = _Row()

    def working(self, name: str, what: str | None) -> None:
        """Show what is at work."""
        if what is not None and name in self._rows:
            self._rows[name].what = what

    def done(self, name: str, event: Done) -> None:
        """Print a line for a stage that has ended, where no table shows the stages."""
        if self._live is not None:
            return
        line = self._named(name)
        line.append(f"{event.stage:{STAGE_WIDTH}s}", style="bold")
        line.append("  cached " if event.cached else f"{event.seconds:6.1f} s ", style="dim")
        self._console.print(line.append(f" {printable(event.result)}"))

    def note(self, name: str, text: str) -> None:
        """Print a remark."""
        self._console.print(self._named(name).append(printable(text), style="yellow"))

    def ended(self, outcome: Outcome, seconds: float) -> None:
        """Print what became of a model."""
        self._rows.pop(outcome.name, None)
        self._ended += 1
        line = self._named(outcome.name)
        if outcome.result is not None:
            verb = "published" if outcome.result.entry.changed else "unchanged"
            line.append(f"{verb} version {outcome.result.entry.version} in {seconds:.1f} s", style="green")
        elif outcome.failure is not None:
            line.append(
                f"failed after {seconds:.1f} s: {printable(' '.join(outcome.failure.message.split()))}", style="red"
            )
        self._console.print(line)

    def summary(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Print what became of all."""
        self._console.print()
        for line in _summary(outcomes, seconds, self._width):
            self._console.print(line)

    def _named(self, name: str) -> Text:
        return Text(f"  {name:{self._width}s}  ", style="")

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for name, row in self._rows.items():
            seconds = time.monotonic() - row.start
            table.add_row(row.spinner, Text(name), Text(row.what, style="bold"), Text(f"{seconds:.0f} s", style="dim"))
        waiting = self._count - self._ended - len(self._rows)
        return Group(table, Text(f"  {self._ended} of {self._count} done, {waiting} waiting", style="dim"))


def _summary(outcomes: Sequence[Outcome], seconds: float, width: int) -> Iterator[Text]:
    """Yield the end of a run: how many stand where, and each model with its targets."""
    made = [o.result for o in outcomes if o.result is not None]
    counts = (
        (sum(r.entry.changed for r in made), "published"),
        (sum(not r.entry.changed for r in made), "unchanged"),
        (len(outcomes) - len(made), "failed"),
    )
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    yield Text(f"{len(outcomes)} models in {seconds:.1f} s: {told}", style="bold")
    for outcome in outcomes:
        line = Text(f"  {outcome.name:{width}s}  ")
        yield _seen(line, outcome.result) if outcome.result is not None else line.append("FAILED", style="red")
    if made:
        yield Text(f"\nserve them:  kit serve {shlex.quote(str(made[0].entry.path.parent))}", style="dim")


def _seen(line: Text, result: Result) -> Text:
    """Add the version and how far each target was verified."""
    line.append(f"version {result.entry.version:<3d} ")
    for number, (name, record) in enumerate(result.manifest.targets.items()):
        level = record.verification.level
        line.append(", " if number else "").append(f"{name} ").append(WORDS[level], style=MARK[level])
    return line
