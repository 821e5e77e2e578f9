"""kit build: build the TensorRT engines of a repository on the device that serves them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from kit.cli import _options


@click.command()
@click.argument("repository", type=click.Path(path_type=Path))
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Only this one; repeat for more.  [default: all]"
)
@click.option("--target", metavar="NAME", help="What this device is.  [default: the only one that the models are for]")
@click.option(
    "--builder",
    metavar="NAME",
    help="python, trtexec or docker: TensorRT's Python API, this machine's trtexec, that of the image that serves."
    "  [default: the first that can]",
)
@click.option("--image", metavar="IMAGE", help="Another container to build in, of the same TensorRT.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="INPUT=HxWxC",
    help="The size of an input that the model leaves open, or a range: images=320x320x3..640x640x3.",
)
@click.option("--workspace", "workspace_mib", type=click.IntRange(1), metavar="MIB",
              help="Memory for TensorRT's tactics.")  # fmt: skip
@click.option("--dla", "dla_core", type=click.IntRange(0), metavar="CORE",
              help="Run on this DLA core, the rest on the GPU.")  # fmt: skip
@click.option("--version-compatible", is_flag=True, help="An engine that later releases of TensorRT load too; slower.")
@click.option(
    "--strongly-typed", is_flag=True, help="Keep every precision of the graph; the rule from TensorRT 10.12 on."
)
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="Real images to compare the engine on.")
@click.option("--force", is_flag=True, help="Build anew what is current.")
@click.option("--dry-run", is_flag=True, help="Print the commands and run none.")
@_options.target_folders
@_options.quiet
@_options.as_json
def command(
    repository: Path, *, shapes: tuple[str, ...], dry_run: bool, quiet: bool, as_json: bool, **given: Any
) -> None:
    """Build the engine of each model in REPOSITORY that is for TensorRT, hold it to ONNX Runtime, and put it in.

    An engine belongs to the GPU and to the release of TensorRT that it was built with: run this on the device, once
    for each model that is new there. What stood in the repository stands until the engine is whole.

    \b
    kit build model_repository
    kit build model_repository --target orin-nx-16gb --images frames/
    kit build model_repository --target t4 --dry-run
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import building
    from kit.cli._display import Display
    from kit.engines import recipe

    asked = building.Asked(shapes=recipe.parse_spans(shapes), **given)
    found = building.tasks(repository, asked)
    if dry_run:
        for task in found:
            for line in building.commands(task, asked):
                click.echo(shlex.join(line))
        return
    with Display(quiet=quiet or as_json) as display:
        made = [building.make(task, asked, display) for task in found]
    if as_json:
        _options.print_json(made)
