"""``kit generate SPEC.yaml``: its options stand above the file, its models are made together."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kit import batch, machine, spec, worker
from kit.cli import _options
from kit.cli._board import Board
from kit.cli._display import Display, result_lines
from kit.cli._text import printable
from kit.jobs import Job, Outcome
from kit.progress import Silent
from kit.specfile import plan
from kit.specfile.plan import Override

_OF_THE_COMMAND = ("source", "quiet", "as_json", "workers")


def run(context: click.Context, *, workers: int | None, quiet: bool, as_json: bool) -> int:
    """Make every model of a spec file; return the exit code of the first that failed, else 0.

    Raises ``InvalidSpecError`` with every mistake before anything is made.
    """
    jobs = plan.jobs(Path(context.params["source"]), tuple(_overrides(context)))
    start = time.perf_counter()
    if len(jobs) == 1:
        outcomes = _one(jobs[0], quiet=quiet, as_json=as_json)
    else:
        outcomes = _several(jobs, workers, quiet=quiet or as_json)
    seconds = time.perf_counter() - start
    if as_json:
        _options.print_json({"models": outcomes, "seconds": round(seconds, 3)})
    failures = [(o.name, o.failure) for o in outcomes if o.failure is not None]
    for name, failure in failures:
        where = f"{name}: " if len(jobs) > 1 else ""
        print(f"{failure.trace}kit: {where}{printable(' '.join(failure.message.split()))}", file=sys.stderr)
    return failures[0][1].exit_code if failures else 0


def _one(job: Job, *, quiet: bool, as_json: bool) -> tuple[Outcome, ...]:
    """Make the only model, in this process and with its stages in view; its failure is told as that of a model."""
    if as_json:
        return (worker.attempt(job, Silent()),)
    with Display(quiet=quiet) as display:
        result = worker.make(job, display)
    display.show(result_lines(result))
    return (Outcome(name=job.spec.name, result=result),)


def _several(jobs: Sequence[Job], workers: int | None, *, quiet: bool) -> tuple[Outcome, ...]:
    start, crew = time.perf_counter(), batch.crew(jobs, machine.limits(), workers)
    with Board(jobs, crew, quiet=quiet) as board:
        outcomes = batch.run(jobs, board, crew.workers)
    board.summary(outcomes, time.perf_counter() - start)
    return outcomes


def _overrides(context: click.Context) -> Iterator[Override]:
    """Yield what was given on the command line, as the attributes that it sets."""
    options = {str(p.name): p.opts[-1] for p in context.command.params if isinstance(p, click.Option)}
    for name, value in context.params.items():
        if name in _OF_THE_COMMAND or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        for attribute, parsed in _parsed(name, value):
            yield Override(option=options[name], attribute=attribute, value=parsed)


def _parsed(name: str, value: Any) -> Iterator[tuple[str, object]]:
    """Yield the attribute that an option sets and its value, as ``kit generate MODEL`` reads it."""
    if name == "output":
        yield name, spec.output_folder(value)
    elif name == "no_verify":
        yield "verify", "none"
    elif name == "no_cache":
        yield "use_cache", False
    elif name == "input_shape":
        yield name, spec.parse_shape(value)
    elif name in ("mean", "std"):
        yield name, spec.parse_numbers(value)
    else:
        yield {"score_threshold": "score", "iou_threshold": "iou"}.get(name, name), value
