"""What happens, on standard error: a live table of all cameras where somebody looks, else a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kit.errors import UsageError
from kit.stream.accounting import Totals
from kit.stream.sinks.interface import ERRORS, LIVE, PLAIN, Emission, Note, OpenSink, Takes, Target
from kit.stream.snapshot import CameraView, Snapshot

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Grid

_EACH_S = 10.0
_A_SECOND = 4


class Table:
    """It is on unless ``--quiet``."""

    name = "table"
    flag = ""
    key = ""
    takes = Takes.LOUDNESS
    help = "Tell how the cameras are doing."
    whole = False

    def check(self, target: Target) -> None:
        """Take one of three words."""
        if target not in (LIVE, PLAIN, ERRORS):
            raise UsageError(f'a table is {LIVE}, {PLAIN} or {ERRORS}, not "{target}"')

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Look whether standard error is a terminal."""
        from rich.console import Console

        console = Console(file=sys.stderr, highlight=False, soft_wrap=True, emoji=False)
        if target == ERRORS:
            return Teller(console, errors_only=True)
        if target == LIVE and console.is_terminal:
            return LiveTable(console, watch)
        return Lines(console, watch)


class Teller:
    """Prints notes."""

    greeting = ""

    def __init__(self, console: Console, *, errors_only: bool = False) -> None:
        self._console = console
        self._errors_only = errors_only

    def take(self, emission: Emission) -> None:
        """Do nothing for one result."""

    def note(self, note: Note) -> None:
        """Print a line."""
        from rich.text import Text

        if note.bad or not self._errors_only:
            self._console.print(Text(f"kit: {note.text}", style="yellow" if note.bad else ""))

    def close(self, last: Snapshot) -> None:
        """Print the totals."""
        if not self._errors_only:
            for line in totals(last):
                self._console.print(line, style="bold")


class Lines(Teller):
    """Prints how each camera does every ten seconds."""

    def __init__(self, console: Console, watch: Callable[[], Snapshot]) -> None:
        super().__init__(console)
        self._watch = watch
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="camera-lines", daemon=True)
        self._thread.start()

    def close(self, last: Snapshot) -> None:
        """Print the totals."""
        self._done.set()
        self._thread.join(1.0)
        super().close(last)

    def _tell(self) -> None:
        while not self._done.wait(_EACH_S):
            for view in self._watch().cameras:
                self._console.print(_line(view))


class LiveTable(Teller):
    """A table that is drawn four times a second; notes stand above it."""

    def __init__(self, console: Console, watch: Callable[[], Snapshot]) -> None:
        from rich.live import Live

        super().__init__(console)
        self._live = Live(
            console=console, get_renderable=lambda: grid(watch()), refresh_per_second=_A_SECOND, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._live.start()

    def close(self, last: Snapshot) -> None:
        """Take the table away and print the totals."""
        self._live.stop()
        super().close(last)


def grid(now: Snapshot) -> Grid:
    """Return the table of this moment."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    made = Grid(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=True)
    made.add_column("camera", no_wrap=True, min_width=8, max_width=24)
    made.add_column("", no_wrap=True, min_width=10)
    for head in ("fps", "results/s", "age p50", "p99 ms", "dropped"):
        made.add_column(head, justify="right", no_wrap=True, min_width=max(5, len(head)))
    made.add_column("newest result", no_wrap=True, ratio=1)
    for view in now.cameras:
        age = (f"{view.age.p50_ms:.0f}", f"{view.age.p99_ms:.0f}") if view.age else ("-", "-")
        made.add_row(
            Text(view.camera, style="bold"), _state(view), f"{view.captured_fps:.1f}", f"{view.inferred_fps:.1f}",
            *age, _share(view.totals), Text(view.found or view.reason, overflow="ellipsis"),
        )  # fmt: skip
    for sink in now.sinks:
        if sink.errors or sink.missed:
            made.caption = f"{sink.name}: {sink.errors} failures, {sink.missed} results missed"
    return made


def totals(last: Snapshot) -> list[str]:
    """Return a line for each camera: what became of its frames, how fast, how late."""
    lines = []
    for view in last.cameras:
        line = f"{view.camera}: {view.totals}; {view.totals.emitted / max(last.seconds, 1e-3):.1f} results/s"
        if view.age is not None and view.answer is not None:
            line += (
                f"; age p50 {view.age.p50_ms:.1f}, p90 {view.age.p90_ms:.1f}, p99 {view.age.p99_ms:.1f} ms"
                f"; answer p50 {view.answer.p50_ms:.1f}, p90 {view.answer.p90_ms:.1f}, p99 {view.answer.p99_ms:.1f} ms"
            )
        lines.append(line)
    lines += [
        f"{sink.name}: {sink.taken} results taken, {sink.missed} missed, {sink.errors} failures"
        for sink in last.sinks
        if sink.missed or sink.errors
    ]
    return lines


def _line(view: CameraView) -> str:
    age = f", age p50 {view.age.p50_ms:.0f} p99 {view.age.p99_ms:.0f} ms" if view.age else ""
    state = "" if view.connected or view.ended else f"; no picture{': ' + view.reason if view.reason else ''}"
    rates = f"{view.captured_fps:.1f} fps, {view.inferred_fps:.1f} results/s"
    return f"{time.strftime('%H:%M:%S')}  {view.camera}: {rates}{age}, dropped {_share(view.totals)}{state}"


def _state(view: CameraView) -> str:
    return "[dim]ended[/]" if view.ended else "[green]live[/]" if view.connected else "[red]no picture[/]"


def _share(counts: Totals) -> str:
    return f"{sum(counts.dropped.values()) / counts.captured:.0%}" if counts.captured else "-"


MEMBER = Table()
