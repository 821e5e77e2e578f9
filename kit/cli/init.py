"""kit init: write a spec file for a model, with every key spelled out."""

from __future__ import annotations

import shlex
from typing import Any

import click

from kit.cli import _options


@click.command()
@click.argument("model")
@click.option("--output", metavar="FILE", default="spec.yaml", show_default=True, help="The file; - prints it.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.option("--target", "targets", multiple=True, metavar="NAME", default=("x86-cpu",), show_default=True,
              help="Hardware to make a configuration for. Repeat for more: kit targets.")  # fmt: skip
@click.option("--name", metavar="NAME", help="The model's name in Triton.  [default: the file's name]")
@_options.task
@_options.head
@click.option("--contract", type=click.Choice(["served", "native"]),
              help="native: the model's own tensors.  [default: served]")  # fmt: skip
@_options.weights
@_options.input_shape
@_options.target_folders
def command(model: str, output: str, *, force: bool, input_shape: str | None, **given: Any) -> None:
    """Write a commented spec file for MODEL, which kit generate takes as it is.

    \b
    kit init digits.onnx
    kit init mynet.model:build --input-shape 3x640x640 --output mynet.yaml
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    import sys
    from pathlib import Path

    from kit import initial, spec
    from kit.cli._display import Display

    wish = initial.Wish(source=model, input_shape=spec.parse_shape(input_shape), **given)
    with Display(quiet=not sys.stderr.isatty()) as display:
        if output == "-":
            sys.stdout.write(initial.text(wish, Path(), display))
            return
        initial.write(wish, Path(output), display, force=force)
    print(f"wrote {output}; look at it, then: kit generate {shlex.quote(output)}", file=sys.stderr)
