"""What a person sees of a run: a line for each stage that is done, a spinner for the one at work."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from kit.cli import _quality
from kit.cli._text import printable
from kit.pipeline import Result

if TYPE_CHECKING:
    from rich.status import Status

STAGE_WIDTH = 14
WORDS = {"live": "verified", "weights": "model verified", "offline": "NOT VERIFIED", "none": "NOT VERIFIED"}
MARK = {"live": "green", "weights": "yellow", "offline": "red", "none": "red"}


class Display:
    """Writes to standard error, so that standard output stays for results."""

    def __init__(self, *, quiet: bool = False) -> None:
        # The stream itself: a source may hold back what its libraries print to ``sys.stderr``.
        self._console = Console(file=sys.stderr, quiet=quiet, highlight=False, soft_wrap=True, emoji=False)
        self._status: Status | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Spin as long as the block lasts; where nobody looks, do not."""
        if not self._console.is_terminal:
            yield
            return
        self._status = self._console.status(f"{what} ...")
        with self._status:
            yield
        self._status = None

    def done(self, stage: str, result: str, seconds: float, *, cached: bool) -> None:
        """Print a line for a stage that has ended."""
        line = Text("  ")
        line.append(f"{stage:{STAGE_WIDTH}s}", style="bold")
        line.append("  cached " if cached else f"{seconds:6.1f} s ", style="dim")
        line.append(f" {printable(result)}")
        self._console.print(line)

    def note(self, text: str) -> None:
        """Print a remark."""
        self._console.print(Text(f"  {printable(text)}", style="yellow"))

    def show(self, lines: Iterable[Text]) -> None:
        """Print lines."""
        for line in lines:
            self._console.print(line)


def result_lines(result: Result) -> Iterator[Text]:
    """Yield what a run ended with: where it stands, and for each target what was seen of it."""
    entry = result.entry
    yield Text()
    verb = "published" if entry.changed else "unchanged"
    yield Text(f"{verb} {entry.path} version {entry.version} in {result.seconds:.1f} s", style="bold")
    for name, record in result.manifest.targets.items():
        seen = record.verification
        line = Text(f"  {name:16s}")
        line.append(f"{WORDS[seen.level]:15s}", style=MARK[seen.level])
        line.append(f" {seen.reason or seen.server or ''}", style="dim")
        yield line
    if result.quality is not None:
        yield Text()
        yield from _quality.lines(result.quality, result.page)
    yield Text(f"\nserve it:  kit serve {shlex.quote(str(entry.path.parent))}", style="dim")
