"""kit camera: stream cameras to a model on a Triton server; show, record or print what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kit.cli import _options, _sinks


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--model", metavar="NAME", help="The model that looks at them.")
@click.option("--url", metavar="HOST:PORT", help="The server's gRPC address.  [default: localhost:8001]")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Cameras, models and outputs in YAML.")
@_sinks.options
@click.option(
    "--budget",
    "budget_ms",
    type=click.IntRange(1),
    metavar="MS",
    help="How old a frame may be when its answer comes.  [default: 1000; 30000 for files without a pace]",
)
@click.option(
    "--in-flight", type=click.IntRange(1, 64), metavar="N", help="Requests under way for each camera.  [default: 2]"
)
@click.option(
    "--duration", "duration_s", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End after so long."
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Class names, one a line.  [default: the server's]",
)
@click.option("--score", "min_score", type=click.FloatRange(0, 1), metavar="F", help="Leave out detections below.")
@click.option("--task", metavar="NAME", help="What a foreign model's outputs mean.  [default: recognised]")
@click.option("--size", metavar="WxH", help="Frame size for a model that takes any.")
@click.option("--model-version", "version", metavar="N", help="The model's version.  [default: the server chooses]")
@click.option("--print-schema", is_flag=True, help="Print the JSON Schema of --json's lines and do nothing.")
@_options.quiet
def command(
    sources: tuple[str, ...], *, config: Path | None, quiet: bool, print_schema: bool, **given: Any
) -> None:  # fmt: skip
    """Stream each SOURCE to a model on a Triton server: always the newest frame, every other one accounted for.

    \b
    kit camera rtsp://user:password@camera/stream --model digits --page 8080
    kit camera video.mp4 --model digits --record annotated.mp4
    kit camera 'video.mp4#pace=none' --model digits --json > detections.jsonl
    kit camera test://30fps v4l2:///dev/video0 --model digits --metrics 9100
    kit camera --config cameras.yaml

    SOURCE is a file, a folder of images, rtsp://, http://, v4l2://, csi://, gst: or test://. Ctrl-C answers what is in
    flight, prints totals that add up and ends with exit code 0; a second one ends at once.
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    if print_schema:
        from kit.stream import lines

        _options.print_json(lines.schema())
        return
    from kit.stream import planning, stopping
    from kit.stream.run import run

    outputs = _sinks.targets(given)
    plan = planning.plan(sources, planning.Said(**given), config=config, outputs=outputs, quiet=quiet)
    with stopping.by_signals() as stop:
        outcome = run(plan, stop=stop)
    if outcome.error is not None:
        raise outcome.error
