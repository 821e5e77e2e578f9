"""kit inspect: what a model is, what it would be taken for, and what would be fused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from kit import labels
from kit.anatomy import Custom
from kit.cli import _options
from kit.cli._text import printable
from kit.inspection import Inspection

_LABEL_WIDTH = 11
_MOST_OPERATORS = 12
_BAR = 24
_NO_WORK = frozenset({"Constant", "Identity"})
_SURE = {"certain": "green", "likely": "yellow", "unsure": "red"}
_UNITS = ("", "K", "M", "G", "T")


@click.command()
@click.argument("source")
@_options.task
@_options.head
@click.option(
    "--input-shape",
    metavar="CxHxW",
    help="What a PyTorch model takes, or the size to count operations at where a model leaves it free: 3x640x640.",
)
@_options.as_json
def command(source: str, *, task: str | None, head: str | None, input_shape: str | None, as_json: bool) -> None:
    """Show what SOURCE is: tensors, operators, size and cost, its task, and what `kit generate` would put around it.

    Nothing is written. SOURCE is whatever `kit generate` takes.

    \b
    kit inspect digits.onnx
    kit inspect mynet.model:build --input-shape 3x640x640
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import inspection, spec
    from kit.types import Spec

    shape = spec.parse_shape(input_shape)
    asked = Spec(source=source, name="model", targets=(), task=task, head=head)
    # To standard error, so that standard output stays for results.
    progress = Console(file=sys.stderr, quiet=as_json or not sys.stderr.isatty())
    with progress.status("reading ..."):
        found = inspection.inspect(asked, shape)
    if as_json:
        _options.print_json(found)
        return
    console = Console(highlight=False, emoji=False)
    console.print(Group(*_lines(found)))


def _lines(found: Inspection) -> Iterator[Text | Table]:
    graph = found.anatomy
    opsets = ", ".join(f"{'opset' if name == 'ai.onnx' else name} {version}" for name, version in graph.opsets.items())
    yield Text.assemble((found.source, "bold"), f"  {_short(found.size)}B")
    producer = f", by {graph.producer}" if graph.producer else ""
    yield Text(printable(f"{found.kind}, IR {graph.ir_version}, {opsets}{producer}"), "dim")
    yield Text()
    yield _rows(_tensor_rows(found))
    yield Text()
    yield _rows(_meaning_rows(found))
    yield Text()
    yield _rows(_network_rows(found))
    yield _operators(found)
    if found.problem is not None:
        yield Text.assemble(("\nkit generate would refuse it: ", "bold red"), printable(found.problem))


def _rows(rows: Iterator[tuple[str, Text | str]]) -> Table:
    """Return lines of a dim word and what is to be said of it."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=_LABEL_WIDTH, style="dim")
    table.add_column(overflow="fold")
    for label, value in rows:
        plain = str(value)
        table.add_row(label, value if plain.isprintable() else Text(printable(plain)))
    return table


def _tensor_rows(found: Inspection) -> Iterator[tuple[str, Text | str]]:
    for label, tensors in (("takes", found.signature.inputs), ("gives", found.signature.outputs)):
        for number, tensor in enumerate(tensors):
            sizes = ", ".join(found.dimensions[tensor.name])
            yield "" if number else label, Text.assemble((tensor.name, "bold"), f"  {tensor.dtype.value} [{sizes}]")
    freed = "; kit generate makes it free where equal answers prove that" if found.batch.startswith("fixed") else ""
    yield "batch", found.batch + freed


def _meaning_rows(found: Inspection) -> Iterator[tuple[str, Text | str]]:
    meaning, fused = found.meaning, found.fused
    if meaning is None:
        yield "task", Text("not recognised", "red")
        return
    certainty = meaning.certainty.value
    sure = (f"  {certainty}", _SURE[certainty]) if meaning.task != meaning.head else ""
    head = f", head {meaning.head}" if meaning.task != meaning.head else ""
    yield "task", Text.assemble((meaning.task, "bold"), head, sure)
    yield "", Text(meaning.reason, "dim")
    if found.labels:
        some = ", ".join(found.labels[:4]) + (" ..." if len(found.labels) > 4 else "")
        yield "labels", f"{len(found.labels)} in the metadata: {some}"
    elif meaning.class_count is not None:
        fitting = labels.fitting(meaning.class_count)
        yield "labels", f"none for its {meaning.class_count} classes; give --labels {' or '.join(fitting) or 'FILE'}"
    if fused is None:
        yield "served", "as it is, tensor for tensor"
        return
    (frame,) = fused.signature.inputs
    yield "served", Text.assemble((frame.name, "bold"), f"  UINT8 [{_shape(frame.shape)}], frames in RGB")
    yield "  before", " > ".join(fused.before) or "nothing: it takes frames"
    after = ", ".join(f"{name} {count}" if count > 1 else name for name, count in fused.after.items())
    yield "  after", after or "nothing"
    for number, tensor in enumerate(fused.signature.outputs):
        said = Text.assemble((tensor.name, "bold"), f"  {tensor.dtype.value} [{_shape(tensor.shape)}]")
        yield "" if number else "  gives", said


def _network_rows(found: Inspection) -> Iterator[tuple[str, Text | str]]:
    graph = found.anatomy
    kinds = ", ".join(f"{_short(kind.count).strip()} {kind.dtype} ({_short(kind.size)}B)" for kind in found.weights)
    yield "weights", kinds or "none"
    if graph.external:
        yield "  beside it", ", ".join(graph.external)
    yield "cost", _cost(found)
    yield "quantised", graph.quantization or "no"
    for number, (reason, customs) in enumerate(groupby(sorted(graph.customs, key=_by_reason), key=_by_reason)):
        some = list(customs)
        names = ", ".join(f"{c.domain or 'ai.onnx'}::{c.name} {c.count}" for c in some)
        yield "" if number else "custom", Text.assemble((names, "yellow" if some[0].served else "red"), f"  {reason}")
    if graph.functions:
        yield "functions", ", ".join(graph.functions)


def _by_reason(custom: Custom) -> str:
    return custom.reason


def _cost(found: Inspection) -> str:
    if found.cost.macs is None:
        return f"unknown: {found.cost.unknown}"
    sizes = "; ".join("x".join(map(str, shape)) for shape in found.counted_for.values())
    return f"{_short(found.cost.macs)}MACs, {_short(2 * found.cost.macs)}FLOPs for {sizes}"


def _operators(found: Inspection) -> Table:
    """Return the most frequent operators with bars, and how many others there are."""
    operators = [operator for operator in found.anatomy.operators if operator.name not in _NO_WORK]
    shown, rest = operators[:_MOST_OPERATORS], operators[_MOST_OPERATORS:]
    most = max((operator.count for operator in shown), default=1)
    total = sum(operator.count for operator in operators)
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=_LABEL_WIDTH, style="dim")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="cyan")
    for number, operator in enumerate(shown):
        name = f"{operator.domain}::{operator.name}" if operator.domain else operator.name
        label = "" if number else "1 node" if total == 1 else f"{total} nodes"
        table.add_row(label, printable(name), str(operator.count), "━" * max(1, round(_BAR * operator.count / most)))
    if rest:
        table.add_row("", Text(f"and {len(rest)} more", "dim"), str(sum(o.count for o in rest)), "")
    return table


def _shape(shape: tuple[int, ...]) -> str:
    return ", ".join(("N" if i == 0 else "?") if size == -1 else str(size) for i, size in enumerate(shape))


def _short(number: int) -> str:
    """Return a number with three digits and a unit: 4.09 G."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}"
