"""kit export: a network of PyTorch as a file for phones and boards that Triton does not serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from kit.cli import _options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.exporting import Exported


@click.command()
@click.argument("source")
@click.option("--format", "format_", metavar="NAME", required=True, help="coreml (.mlpackage) or litert (.tflite).")
@click.option("--precision", metavar="NAME", help="coreml: fp16, fp32, int8. litert: fp32, int8.  [default: the first]")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="SOURCE",
    help="Real pictures: ranges for INT8, and to compare on. A folder, a COCO set, a video or calibration.json.",
)
@click.option("--calibration-count", type=int, default=500, show_default=True, help="How many of them at most.")
@click.option("--mean", metavar="A,B,C", help="How pixels become the network's: (pixel / 255 - mean) / std.")
@_options.std
@click.option("--color", type=click.Choice(["rgb", "bgr"]), default="rgb", show_default=True, help="Of the network.")
@_options.weights
@click.option("--input-shape", metavar="CxHxW", help="What it takes, without the batch: 3x640x640.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: the source's name, here]")
@_options.quiet
@_options.as_json
def command(
    source: str,
    *,
    format_: str,
    precision: str | None,
    calibration: Path | None,
    calibration_count: int,
    mean: str | None,
    std: str | None,
    color: str,
    weights: str | None,
    input_shape: str | None,
    output: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE for a device that Triton does not serve, and hold the result against PyTorch's answers.

    SOURCE is package.module:callable, timm:NAME or a .pt2 file: these formats are made from programs of PyTorch.

    \b
    kit export mynet.model:build --weights best.safetensors --input-shape 3x640x640 --format litert
    kit export mynet.model:build --weights best.safetensors --input-shape 3x640x640 --format litert \\
        --precision int8 --calibration recordings
    kit export mynet.pt2 --format coreml --output mynet.mlpackage
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import calibration as choosing
    from kit import exporting, spec
    from kit.cli._display import Display
    from kit.types import Normalization

    pixels = spec.normalization(spec.parse_numbers(mean), spec.parse_numbers(std)) or Normalization()
    with Display(quiet=quiet or as_json) as display:
        pictures = None if calibration is None else choosing.choose(calibration, calibration_count)
        for warning in () if pictures is None else pictures.warnings:
            display.note(warning)
        wanted = exporting.Wanted(
            source=source, format=format_, output=output, precision=precision, weights=weights, pixels=pixels,
            input_shape=spec.parse_shape(input_shape), pictures=pictures, color=color,
        )  # fmt: skip
        made = exporting.export(wanted, display)
        if as_json:
            _options.print_json(made)
        elif not quiet:
            display.show(_lines(made))


def _lines(made: Exported) -> Iterator[Text]:
    """Yield what was written and how it was checked."""
    worst = max((d.relative for d in made.parity.differences), default=0.0)
    least = min((d.cosine for d in made.parity.differences), default=1.0)
    kind = "pictures" if made.parity.inputs == "images" else "random inputs"
    yield Text()
    yield Text(f"wrote {made.path}, {made.bytes / 1e6:.2f} MB, {made.precision}, in {made.seconds:.1f} s", style="bold")
    yield Text(f"  {made.checked}: {worst:.2g} of the range from PyTorch on {kind}, cosine {least:.5f}")
    for note in made.notes:
        yield Text(f"  {note}", style="yellow")
