"""kit calibration: choose the pictures that INT8 and FP16 are calibrated on, by what they show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kit.cli import _options
from kit.cli._text import printable

if TYPE_CHECKING:
    from kit.calibration import CalibrationSet

_BAR = 24
_NARROW = 14
_LABEL_WIDTH = 12


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--count", type=int, default=500, show_default=True, help="How many at most; 500 to 1000 are usual.")
@click.option(
    "--apart-from",
    type=click.Path(path_type=Path),
    metavar="SOURCE",
    help="The validation set: pictures of it, and copies of them, are left out.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="calibration.json",
    show_default=True,
    metavar="FILE",
    help="The list of what was chosen.",
)
@_options.quiet
@_options.as_json
def command(source: Path, *, count: int, apart_from: Path | None, output: Path, quiet: bool, as_json: bool) -> None:
    """Choose from SOURCE the pictures to calibrate on: so that they show all that it shows, rare scenes too.

    SOURCE is a folder of images and videos, a COCO set, or a video. The choice is written to a file with digests,
    which `kit generate --calibration calibration.json` takes as it stands.

    \b
    kit calibration recordings --apart-from validation
    kit calibration day.mp4 --count 1000
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import calibration

    calibration.require_replaceable(output)
    apart = calibration.pictures(apart_from) if apart_from is not None else ()
    with _shown(quiet=quiet or as_json) as tell:
        made = calibration.choose(source, count, apart, tell=tell)
    calibration.write(made, output)
    if as_json:
        _options.print_json({"output": output, "digest": made.digest, "pictures": len(made),
                             "coverage": made.coverage, "warnings": made.warnings})  # fmt: skip
    elif not quiet:
        Console(highlight=False, emoji=False).print(Group(*_lines(source, made)))
        _close(made, output)


def _close(made: CalibrationSet, output: Path) -> None:
    """Print what the user should know, and what to do next."""
    errors = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
    for warning in made.warnings:
        errors.print(Text(printable(warning), "yellow"))
    wrote = f"wrote {output}; use it:  kit generate MODEL --precision int8 --calibration {output}"
    errors.print(Text(printable(wrote), "dim"))


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar where somebody looks; yield what moves it."""
    console = Console(file=sys.stderr, quiet=quiet or not sys.stderr.isatty())
    columns = TextColumn("looking"), BarColumn(_BAR), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("looking", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _lines(source: Path, made: CalibrationSet) -> Iterator[Table | Text]:
    seen = made.coverage
    facts = Table.grid(padding=(0, 1, 0, 0))
    facts.add_column(width=_LABEL_WIDTH, style="dim")
    facts.add_column(overflow="fold")
    facts.add_row("source", Text.assemble((printable(str(source)), "bold"), f"  {seen.found:,} pictures{_lost(made)}"))
    facts.add_row("chosen", Text.assemble((f"{len(made):,}", "bold"), f" of {seen.candidates:,}"))
    facts.add_row("different", f"{seen.different:,}{_alike(made)}")
    facts.add_row("scenes", f"{seen.kinds_chosen} of {seen.kinds} kinds")
    yield facts
    if len(made) < seen.candidates:
        yield Text()
        yield _variety(made)
    yield Text()
    yield _brightness(made)


def _lost(made: CalibrationSet) -> str:
    seen = made.coverage
    counts = (seen.copies, "equal to others"), (seen.unread, "cannot be read"), (seen.plain, "of one colour"), (
        seen.leaking, "in the validation set"
    )  # fmt: skip
    said = ", ".join(f"{count:,} {why}" for count, why in counts if count)
    return f"; {said}" if said else ""


def _alike(made: CalibrationSet) -> str:
    others = len(made) - made.coverage.different
    return f"; {others:,} are the same pictures again but for light, scale or turning" if others else ""


def _variety(made: CalibrationSet) -> Table:
    """Return how much of the source's variety is shown, beside what would have been without choosing."""
    seen, count = made.coverage, f"{len(made):,}"
    table = Table.grid(padding=(0, 1, 0, 0))
    for column in ({"width": _LABEL_WIDTH, "style": "dim"}, {}, {"justify": "right"}, {"style": "cyan"}):
        table.add_column(**column)
    rows = ("chosen", seen.variety), (f"first {count}", seen.variety_first), ("evenly spread", seen.variety_spread)
    for number, (name, share) in enumerate(rows):
        table.add_row("" if number else "variety", name, f"{share:.1%}", _bar(share))
    return table


def _brightness(made: CalibrationSet) -> Table:
    """Return how bright pictures are, in the source and among the chosen; 16 steps from black to white."""
    before, after = made.coverage.brightness, made.coverage.brightness_chosen
    table = Table.grid(padding=(0, 1, 0, 0))
    for justify in ("left", "right", "right", "left", "right", "left"):
        table.add_column(justify=justify)
    table.columns[0].width, table.columns[0].style = _LABEL_WIDTH, "dim"
    table.add_row("brightness", "", Text("source", "dim"), "", Text("chosen", "dim"), "")
    shares = [(count / sum(before), taken / sum(after)) for count, taken in zip(before, after, strict=True)]
    largest = max(map(max, shares))
    filled = [step for step, count in enumerate(before) if count]
    for step in range(filled[0], filled[-1] + 1):
        source, chosen = (_bar(share / largest, _NARROW) for share in shares[step])
        table.add_row(
            "", f"{step * 100 // 16}-{(step + 1) * 100 // 16} %",
            f"{before[step]:,}", Text(source, "dim"), f"{after[step]:,}", Text(chosen, "cyan"),
        )  # fmt: skip
    return table


def _bar(share: float, width: int = _BAR) -> str:
    return "━" * (max(1, round(width * share)) if share > 0 else 0)
