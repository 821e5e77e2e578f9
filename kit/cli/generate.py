"""kit generate: a model goes in, a Triton repository that a real Triton has answered comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kit.cli import _options


@click.command()
@click.argument("source")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    default=("x86-cpu",),
    show_default=True,
    help="Hardware to make a configuration for; the first is the default. Repeat for more: kit targets.",
)
@click.option("--name", metavar="NAME", help="The model's name in Triton.  [default: the file's name]")
@_options.task
@_options.head
@click.option(
    "--contract",
    type=click.Choice(["served", "native"]),
    default="served",
    show_default=True,
    help="served: UINT8 frames in, detections or probabilities out. native: the model's own tensors.",
)
@click.option(
    "--precision",
    metavar="NAME",
    help="fp32, fp16, int8, or auto: the lowest that holds its budget.  [default: the target's]",
)
@click.option(
    "--runtime",
    metavar="NAME",
    help="Triton's backend: onnxruntime, openvino, tensorrt.  [default: the target's first]",
)
@click.option("--output", metavar="DIR", default="model_repository", show_default=True, help="The repository.")
@_options.labels
@click.option("--score-threshold", type=float, default=0.25, show_default=True, help="Detections below are dropped.")
@click.option("--iou-threshold", type=float, default=0.45, show_default=True, help="NMS: boxes of one class overlap.")
@click.option("--max-detections", type=int, default=100, show_default=True, help="Rows of the detector's outputs.")
@click.option("--argmax", is_flag=True, help="Segmentation: serve each pixel's class, not the scores of all.")
@_options.mean
@_options.std
@click.option(
    "--color",
    type=click.Choice(["rgb", "bgr"]),
    help="Channel order that the network was trained on; clients always send RGB.  [default: rgb; of YOLOX bgr]",
)
@click.option("--max-batch-size", type=click.IntRange(0, 1024), help="Largest batch.  [default: the target's]")
@click.option("--instances", "instance_count", type=click.IntRange(1, 1024), help="Copies.  [default: the target's]")
@click.option(
    "--queue-delay-us",
    "max_queue_delay_us",
    type=click.IntRange(0, 60_000_000),
    help="How long a batch may wait to fill, us.  [default: the target's]",
)
@click.option(
    "--threads",
    "intra_op_threads",
    type=click.IntRange(0, 1024),
    help="CPU threads per instance, 0 for all.  [default: the target's]",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Real pictures for INT8's ranges, and to compare on: a folder, a COCO set, a video.",
)
@click.option(
    "--calibration-count",
    type=click.IntRange(32, 100_000),
    default=500,
    show_default=True,
    help="How many of them are chosen.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Pictures with labels, held out from calibration: what a lower precision is judged on.",
)
@_options.budget("a lower precision may take from the metric")
@_options.metric
@_options.weights
@_options.input_shape
@click.option(
    "--verify",
    type=click.Choice(["auto", "live", "none"]),
    default="auto",
    show_default=True,
    help="auto: ask a real Triton where none has answered with this model. live: in any case.",
)
@click.option("--no-verify", is_flag=True, help="The same as --verify none; the manifest says so.")
@click.option("--keep", type=click.IntRange(min=0), default=1, show_default=True, help="Old versions that stay.")
@click.option("--alongside", is_flag=True, help="Add to a repository that holds models of other makers.")
@click.option("--discard-edits", is_flag=True, help="Overwrite files that were changed by hand.")
@click.option("--no-cache", is_flag=True, help="Do every stage anew.")
@click.option("--workers", type=click.IntRange(1, 256), help="Models of a spec at a time.  [default: what fits here]")
@_options.target_folders
@_options.quiet
@_options.as_json
@click.pass_context
def command(
    context: click.Context,
    /,
    source: str,
    *,
    output: str,
    verify: str,
    no_verify: bool,
    no_cache: bool,
    workers: int | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> int | None:
    """Convert SOURCE and publish it as a model in a Triton repository, once a real Triton has answered with it.

    SOURCE is an .onnx file; package.module:callable for a PyTorch nn.Module; a .pt2 or TorchScript file; timm:NAME;
    a checkpoint of Ultralytics; or a spec file of one or more models. Everything that goes in: docs/sources.md

    \b
    kit generate digits.onnx
    kit generate digits.onnx --target x86-cpu --target t4 --target orin-nx-16gb
    kit generate mynet.model:build --weights best.safetensors --input-shape 3x640x640
    kit generate spec.yaml
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import pipeline, planning, spec, specfile
    from kit.cli._display import Display, result_lines
    from kit.types import Thresholds

    if specfile.is_spec(source):
        from kit.cli import _spec_run

        return _spec_run.run(context, workers=workers, quiet=quiet, as_json=as_json)
    if workers is not None:
        raise click.UsageError("--workers is for a spec file of several models", context)
    thresholds = Thresholds(
        score=given.pop("score_threshold"), iou=given.pop("iou_threshold"), max_detections=given.pop("max_detections")
    )
    options = planning.Options(
        output=spec.output_folder(output),
        verify="none" if no_verify else verify,
        use_cache=not no_cache,
        input_shape=spec.parse_shape(given.pop("input_shape")),
        **{key: given.pop(key) for key in ("keep", "alongside", "discard_edits", "target_folders")},
    )
    mean, std = (spec.parse_numbers(given.pop(key)) for key in ("mean", "std"))
    asked = spec.build(source, thresholds=thresholds, mean=mean, std=std, **given)
    with Display(quiet=quiet or as_json) as display:
        result = pipeline.generate(asked, options, display)
    if as_json:
        _options.print_json(result)
    elif not quiet:
        display.show(result_lines(result))
    return None
