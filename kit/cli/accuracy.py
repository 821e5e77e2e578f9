"""kit accuracy: the mAP, top-1 or mIoU of any model on labelled pictures, also of one that a Triton serves."""

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
    from kit.accuracy.types import ClassScore
    from kit.evaluation import Evaluation

_LABEL_WIDTH = 12
_BAR = 24
_MOST_CLASSES = 30


@click.command()
@click.argument("model")
@click.argument("validation", type=click.Path(path_type=Path))
@click.option("--against", metavar="MODEL", help="The better model, FP32 for example: say what is lost from it.")
@_options.budget("may be lost from --against")
@_options.metric
@_options.labels
@_options.task
@_options.head
@_options.mean
@_options.std
@click.option("--color", type=click.Choice(["rgb", "bgr"]), help="Channel order that the network was trained on.")
@_options.weights
@_options.input_shape
@click.option("--batch", type=click.IntRange(1, 1024), help="Pictures at a time.  [default: 8; of a server 1]")
@_options.quiet
@_options.as_json
def command(
    model: str,
    validation: Path,
    *,
    against: str | None,
    max_drop: float,
    max_class_drop: float,
    metric: str | None,
    input_shape: str | None,
    batch: int | None,
    quiet: bool,
    as_json: bool,
    mean: str | None,
    std: str | None,
    **given: str | None,
) -> None:
    """Measure MODEL on VALIDATION: pictures with labels in a layout that everybody uses.

    MODEL is whatever `kit generate` takes, an .onnx file in a repository, or grpc://HOST:PORT/NAME on a running
    Triton. VALIDATION is a COCO file or its folder, YOLO's images/ and labels/, a folder for each class, images/ and
    masks/; with --against also a plain folder of pictures: docs/accuracy.md

    \b
    kit accuracy digits.onnx examples/digits/test
    kit accuracy grpc://localhost:8001/digits examples/digits/test --labels examples/digits/labels.txt
    kit accuracy int8.onnx examples/digits/calibration --against digits.onnx
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import evaluation, spec
    from kit.accuracy import Budget
    from kit.cli._display import Display
    from kit.errors import AccuracyError
    from kit.types import Spec

    known = {key: value for key, value in given.items() if value is not None}
    normalization = spec.normalization(spec.parse_numbers(mean), spec.parse_numbers(std))
    asked = evaluation.Asked(
        spec=Spec(source=model, name="model", targets=(), normalization=normalization, **known),  # type: ignore[arg-type]
        validation=validation, against=against, metric=metric, shape=spec.parse_shape(input_shape), batch=batch,
        budget=Budget(drop=max_drop / 100, class_drop=max_class_drop / 100),
    )  # fmt: skip
    with Display(quiet=quiet or as_json) as display:
        found = evaluation.evaluate(asked, display, None if quiet or as_json else _shown)
    if as_json:
        _options.print_json(found)
    elif not quiet:
        Console(highlight=False, emoji=False).print(Group(*_lines(found)))
        errors = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        for note in found.notes:
            errors.print(Text(printable(note), "yellow"))
        for reason in () if found.verdict is None else found.verdict.reasons[1:]:
            errors.print(Text(printable(reason), "red"))
    if found.verdict is not None and not found.verdict.held:
        raise AccuracyError(f"{model} is not as good as {against}: {found.verdict.reasons[0]}")


@contextmanager
def _shown(model: str) -> Iterator[Callable[[int, int], None]]:  # noqa: ARG001
    """Show a bar where somebody looks; yield what moves it."""
    console = Console(file=sys.stderr, quiet=not sys.stderr.isatty())
    columns = TextColumn("measuring"), BarColumn(_BAR), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _lines(found: Evaluation) -> Iterator[Table | Text]:
    facts = Table.grid(padding=(0, 1, 0, 0))
    facts.add_column(width=_LABEL_WIDTH, style="dim")
    facts.add_column(overflow="fold")
    facts.add_row("model", Text(printable(found.model), "bold"))
    if found.against is not None:
        facts.add_row("against", printable(found.against))
    facts.add_row("pictures", f"{found.pictures:,}, {found.layout}")
    facts.add_row("task", found.task)
    yield facts
    yield Text()
    yield _numbers(found)
    rows = [one for one in found.score.classes if one.value is not None]
    if rows:
        yield Text()
        yield _classes(rows, found)
        if len(rows) > _MOST_CLASSES:
            yield Text(f"the worst {_MOST_CLASSES} of {len(rows)} classes; --json has all", "dim")


def _numbers(found: Evaluation) -> Table:
    """Return the metric, the others, and how sure the model is, before and after where there are both."""
    verdict, score = found.verdict, found.score
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_LABEL_WIDTH)
    for _ in range(3):
        table.add_column(justify="right")
    before = None if verdict is None else verdict.before
    if before is not None:
        table.add_row("", Text("against", "dim"), Text("model", "dim"), Text("lost", "dim"))
    first = () if before is None else (f"{before.value:.3f}",)
    lost = (
        () if verdict is None else (f"{verdict.drop.point:+.4f}  [{verdict.drop.low:+.4f}, {verdict.drop.high:+.4f}]",)
    )
    table.add_row(Text(printable(score.metric), "bold"), *first, Text(f"{score.value:.3f}", "bold"), *lost)
    for name, value in score.others.items():
        known = () if before is None else (f"{before.others[name]:.3f}",)
        table.add_row(printable(name), *known, f"{value:.3f}")
    if (sure := score.confidences) is not None:
        known = () if before is None or before.confidences is None else (f"{before.confidences.quantiles[2]:.3f}",)
        table.add_row("median score", *known, f"{sure.quantiles[2]:.3f}")
        for word, share in (("found", sure.found), ("right", sure.right)):
            if share is not None:
                old = None if before is None or before.confidences is None else getattr(before.confidences, word)
                known = () if old is None else (f"{old:.1%}",)
                table.add_row(f"{word} at {sure.threshold:g}", *known, f"{share:.1%}")
    return table


def _classes(rows: list[ClassScore], found: Evaluation) -> Table:
    """Return each class's own number, the worst first; with a verdict, what it lost."""
    lost = {} if found.verdict is None else {one.index: one.drop.point for one in found.verdict.classes}
    order = sorted(rows, key=lambda one: (-lost.get(one.index, 0.0), one.value))
    table = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "right", "right", "right", "left"):
        table.add_column(justify=justify)
    own = found.score.metric.replace("mAP", "AP").replace("mIoU", "IoU")  # a mean is over classes
    dim = [Text(word, "dim") for word in ("class", "objects", own, "lost" if lost else "")]
    table.add_row(*dim)
    for one in order[:_MOST_CLASSES]:
        assert one.value is not None
        change = f"{lost[one.index]:+.3f}" if one.index in lost else ""
        bar = Text("━" * round(_BAR * one.value), "cyan")
        table.add_row(printable(one.name), Text(f"{one.instances:,}", "dim"), f"{one.value:.3f}", change, bar)
    return table
