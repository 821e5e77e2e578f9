"""kit compare: two models beside each other, in what they answer and layer by layer."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kit.cli import _options


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="Pictures to ask.  [default: random]")
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="SET",
    help="Labelled pictures: compare the task's metric too.",
)
@click.option("--inputs", "count", type=click.IntRange(1, 100_000), default=8, show_default=True, help="How many.")
@click.option(
    "--tolerance", type=click.FloatRange(1e-8, 1.0), metavar="R", help="Allowed, relative.  [default: by precision]"
)
@click.option("--no-layers", is_flag=True, help="Compare the outputs alone.")
@click.option("--all", "whole", is_flag=True, help="Print every layer, not only the worst.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a page.")
@click.option("--threads", type=click.IntRange(0, 1024), default=0, help="CPU threads.  [default: all]")
@_options.quiet
@_options.as_json
def command(
    first: str,
    second: str,
    *,
    images: Path | None,
    validation: Path | None,
    count: int,
    tolerance: float | None,
    no_layers: bool,
    whole: bool,
    html: Path | None,
    threads: int,
    quiet: bool,
    as_json: bool,
) -> int:
    """Ask models FIRST and SECOND the same, and show where their answers differ, and at which layer that begins.

    Each is an .onnx file, a model's folder in a repository, package.module:callable, a .pt2 file, OpenVINO's .xml, a
    .plan, or grpc://HOST:PORT/MODEL. Ends with 0 where they are equal within the tolerance, 1 where they differ.

    \b
    kit compare digits.onnx model_repository/digits
    kit compare mynet.model:build mynet.onnx --images pictures --html compare.html
    kit compare model_repository/digits grpc://localhost:8001/digits
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from rich.console import Console

    from kit import blame
    from kit.blame import page
    from kit.cli import _comparison
    from kit.cli._display import Display

    options = blame.Options(
        images=images, validation=validation, count=count, tolerance=tolerance, layers=not no_layers, threads=threads
    )
    page.require_writable(html)
    with Display(quiet=quiet or as_json) as display:
        found = blame.compare(first, second, options, display)
    if html is not None:
        page.write(found, html)
    if as_json:
        _options.print_json(found)
    elif not quiet:
        console = Console(file=sys.stdout, highlight=False, emoji=False)
        for part in _comparison.parts(found, console.width, whole=whole):
            console.print(part)
        if html is not None:
            console.print(f"\nwritten {html}", style="dim")
    return 0 if found.equal else 1
