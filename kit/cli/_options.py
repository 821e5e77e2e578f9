"""Options that several commands have, in one wording, and how JSON is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

target_folders = click.option(
    "--targets", "target_folders", type=click.Path(path_type=Path, file_okay=False, exists=True), multiple=True,
    metavar="DIR", help="A folder of your own target files; adds to the kit's.",
)  # fmt: skip
quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")

task = click.option("--task", metavar="NAME", help="What the outputs mean.  [default: recognised from the model]")
head = click.option(
    "--head", metavar="NAME", help="A detector's layout of outputs: yolox, detr,softmax ...  [default: recognised]"
)
labels = click.option(
    "--labels", metavar="FILE|SET", help="Class names, one a line; or coco-80, imagenet-1k, voc-20 ..."
)
mean = click.option("--mean", metavar="A,B,C", help="Normalisation: (pixel / 255 - mean) / std.  [default: the task's]")
std = click.option("--std", metavar="A,B,C", help="See --mean.")
weights = click.option(
    "--weights",
    metavar="FILE",
    help="Weights for package.module:callable or timm:NAME: .safetensors, .pt or .pth; random for timm's speed tests.",
)
input_shape = click.option(
    "--input-shape", metavar="CxHxW", help="What a PyTorch model takes, without the batch: 3x640x640."
)
metric = click.option("--metric", metavar="MODULE:CALLABLE", help="A metric of your own.  [default: the task's]")


def budget(of: str) -> Callable[[_Command], _Command]:
    """Return the options of what may be lost; ``of`` says what loses it, and against what."""

    def both(command: _Command) -> _Command:
        most = click.FloatRange(0, 100)
        whole = click.option("--max-drop", type=most, default=1.0, show_default=True, help=f"Points of 100 that {of}.")
        each = click.option(
            "--max-class-drop", type=most, default=5.0, show_default=True, help="The same for each class."
        )
        return whole(each(command))

    return both


def print_json(value: object) -> None:
    """Print a value of ``kit.types`` as one JSON document on standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode() + "\n")
