"""kit tune: find the batching that holds what the cameras need with the most head-room, by measuring."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli import _options, _tune_lines

if TYPE_CHECKING:
    from kit.specfile.applying import Wanted
    from kit.tune.values import Found, Job

_INTERRUPTED = 130
_EXIT_CODES = {"holds": 0, "does not hold": 1, "not measurable": 3, "interrupted": _INTERRUPTED}


@click.command()
@click.argument("repository", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="The model.  [default: the only one]")
@click.option("--target", metavar="NAME", help="The target that is served here.  [default: its first]")
@click.option(
    "--p99", metavar="T", help="99 % of the answers must be there in that time, from when they were due: 50ms."
)
@click.option(
    "--cameras", type=click.IntRange(1), metavar="N", help="So many cameras.  [default: as much as --p99 allows]"
)
@click.option("--fps", metavar="F", help="Frames a second of each camera.  [default: 15]")
@click.option("--fail-ratio", default="1%", show_default=True, metavar="F", help="The share that may fail or be late.")
@click.option("--spec", type=click.Path(path_type=Path), metavar="FILE", help="Write the result into this spec file.")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="Pictures to send.  [default: random]")
@click.option("--instances", metavar="N,N", help="Try only these numbers of copies: 1,2,4.")
@click.option("--batch", metavar="N,N", help="Only these largest batches: 1,2,4,8.")
@click.option("--delay", metavar="T,T", help="Only these times that a batch may wait to fill: 0,2ms.")
@click.option(
    "--threads", metavar="N,N", help="Only these numbers of CPU threads for each copy, 0 for one for each core."
)
@click.option(
    "--variant", "variants", multiple=True, metavar="NAME=DIR", help="Also this repository's precision and runtime."
)
@click.option("--budget", metavar="T", help="Stop searching after that time: 10m.")
@click.option("--url", metavar="HOST:PORT", help="A Triton that runs, with --model-control-mode=explicit.")
@click.option("--engine", type=click.Choice(["embedded", "docker"]), help="Or start one.  [default: embedded]")
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where measurements are kept.  [default: the cache]",
)
@click.option("--fresh", is_flag=True, help="Measure again what was measured before.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="Write tune.html, .json and .csv there.")
@_options.target_folders
@_options.as_json
@_options.quiet
def command(*, as_json: bool, quiet: bool, report: Path | None, spec: Path | None, **given: Any) -> int:
    """Find how a model of REPOSITORY is to be served so that --p99 holds, with the most head-room.

    \b
    kit tune model_repository --model digits --target x86-cpu --p99 50ms --cameras 8 --fps 15
    kit tune model_repository --p99 50ms --spec spec.yaml --report out
    kit tune model_repository --p99 30ms --variant int8=out/int8 --url orin:8001 --target orin-nx-16gb
    kit tune model_repository --p99 50ms --instances 1,2 --batch 1,4 --delay 0 --threads 1,2 --budget 5m

    A search that was broken off goes on where it stood. The repository is not changed.

    Exit code 0: found, and it holds; 1: nothing holds, the best is shown; 3: not measurable; 130: Ctrl-C, so far.
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import tune
    from kit.specfile import tuned
    from kit.stream import stopping
    from kit.tune import planning, writing

    job, wanted = tuned.begin(planning.plan(planning.Said(**given)), spec)
    if report is not None:
        writing.require(report)
    with stopping.by_signals() as stop, _tune_lines.Board(shown=not (quiet or as_json)) as board:
        found = tune.run(job, tell=board.tell, stop=stop)
    return _conclude(job, found, wanted, report=report, as_json=as_json, quiet=quiet)


def _conclude(
    job: Job, found: Found, wanted: Wanted | None, *, report: Path | None, as_json: bool, quiet: bool
) -> int:  # fmt: skip
    from kit.specfile import tuned
    from kit.tune import writing

    told, failure = tuned.conclude(job, found, wanted)
    if as_json:
        _options.print_json(told)
    else:
        for line in _tune_lines.lines(told, quiet=quiet):
            click.echo(line)
    if report is not None:
        written = writing.write(told, report)
        if not (quiet or as_json):
            click.echo(f"report: {written}")
    if failure is not None:
        raise failure
    if found.interrupted:
        sys.stderr.write("kit: interrupted; the same command goes on from here\n")
        return _INTERRUPTED
    return _EXIT_CODES[told.verdict]
