"""kit targets: what hardware models can be generated for, and every fact with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kit import targets
from kit.cli import _options
from kit.targets.schema import CHOICE, covering, values_of
from kit.targets.values import Backend, Target

_TABLE_WIDTH = 80
_HEADERS = (
    ("target", "device"),
    ("memory", "CUDA, DLA"),
    ("Triton", "TensorRT"),
    ("ONNX Runtime", "runs on"),
    ("largest batch", "inst., delay"),
)


@click.command()
@click.argument("name", required=False)
@_options.target_folders
@_options.as_json
def command(name: str | None, *, target_folders: tuple[Path, ...], as_json: bool) -> None:
    """List the hardware targets, or show all that is known of the target NAME, with sources.

    A folder of your own may also be named by KIT_TARGETS; docs/targets.md says how to write a target.
    """
    chosen = (name,) if name else targets.names(target_folders)
    loaded = tuple(targets.load(n, target_folders) for n in chosen)
    files = {n: targets.source_file(n, target_folders) for n in chosen}
    if as_json:
        documents = [{**asdict(t), "file": files[t.name]} for t in loaded]
        _options.print_json(documents[0] if name else documents)
    elif name:
        _print_facts(Console(highlight=False), loaded[0], files[name])
    else:
        console = Console()
        console.print(_table(loaded) if console.width >= _TABLE_WIDTH else _blocks(loaded))
        console.print(_note(files))


def _table(loaded: tuple[Target, ...]) -> Table:
    """Return the table of all targets, two lines each."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for upper, lower in _HEADERS:
        table.add_column(f"{upper}\n{lower}", no_wrap=True)
    for target in loaded:
        table.add_row(*(Text.assemble(upper, "\n", (lower, "dim")) for upper, lower in _cells(target)))
    return table


def _blocks(loaded: tuple[Target, ...]) -> Group:
    """Return the same for a terminal that is narrower than the table: a line for each of its columns."""
    lines: list[Text] = []
    for target in loaded:
        (name, device), *rest = _cells(target)
        lines.append(Text.assemble((name, "bold"), f"  {device}"))
        for (upper, lower), values in zip(_HEADERS[1:], rest, strict=True):
            lines.append(Text.assemble((f"  {upper} ", "dim"), values[0], (f"; {lower} ", "dim"), values[1]))
    return Group(*lines)


def _note(files: Mapping[str, Path]) -> Text:
    yours = [n for n, file in files.items() if file.parent != targets.BUILT_IN]
    note = f"Your own: {', '.join(yours)}. " if yours else ""
    return Text(f"\n{note}kit targets NAME shows every fact with its source.", "dim")


def _cells(target: Target) -> Iterator[tuple[str, str]]:
    """Yield a row's cells, each of two lines."""
    device, stack, defaults = target.device, target.stack, target.defaults
    onnxruntime = target.backend("onnxruntime")
    chips = [device.compute_capability or "", f"{device.dla_cores} DLA" if device.dla_cores else ""]
    yield target.name, device.description
    yield f"{device.memory_mib / 1024:g} GiB" if device.memory_mib else "any", ", ".join(filter(None, chips)) or "-"
    yield stack.image.rpartition(":")[2], stack.tensorrt_version or "-"
    yield stack.onnxruntime_version, _runs_on(onnxruntime) if onnxruntime else "-"
    yield str(defaults.max_batch_size), f"{defaults.instance_count}, {defaults.max_queue_delay_us} us"


def _runs_on(backend: Backend) -> str:
    return backend.accelerator.name if backend.accelerator else backend.instance_kind.removeprefix("KIND_").lower()


def _print_facts(console: Console, target: Target, file: Path) -> None:
    """Print every key with its value, section by section, and below the numbered sources."""
    console.print(Text.assemble((target.name, "bold"), f"  {target.device.description}"))
    console.print(Text(str(file), "dim"), soft_wrap=True)
    for section, keys in groupby(values_of(target).items(), key=lambda item: item[0].rpartition(".")[0]):
        console.print(Text(f"\n{section}", "dim"))
        console.print(_section(target, dict(keys)))
    console.print(Text("\nSources, and the day each was looked up", "dim"))
    for number, fact in enumerate(target.facts, start=1):
        origin = "our choice" if fact.source == CHOICE else fact.source
        # A URL is never broken into lines, so that a terminal can open it.
        console.print(Text.assemble((f"{f'[{number}]':>4} ", "dim"), (origin, "cyan")), soft_wrap=True)
        console.print(Padding(Text.assemble((fact.date, "dim"), f"  {fact.note}"), (0, 0, 0, 5)))


def _section(target: Target, keys: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=26)
    table.add_column(overflow="fold", style="bold")
    table.add_column(no_wrap=True, style="dim")
    for key, value in keys.items():
        numbers = " ".join(f"[{n}]" for n in covering(target, key)) or "no source"
        table.add_row(f"  {key.rpartition('.')[2]}", Text(value), Text(numbers))
    return table
