"""kit load: send requests as cameras do to models on a Triton server, and tell whether it holds them."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import click

from kit.cli import _load_lines, _options

_INTERRUPTED = 130


@click.command()
@click.option("--model", "models", multiple=True, metavar="NAME[=WEIGHT]", help="A model; several by weight.")
@click.option("--url", default=None, metavar="HOST:PORT", help="The server.  [default: localhost:8001]")
@click.option("--rate", metavar="R", help="Requests a second, whatever the server does: 50, or a ramp, steps, a spike.")
@click.option("--cameras", type=click.IntRange(1), metavar="N", help="Instead: so many cameras, each of --fps.")
@click.option("--fps", metavar="F", help="Frames a second of each camera.  [default: 15]")
@click.option("--users", metavar="N", help="Instead: so many who each send when they have an answer (closed loop).")
@click.option("--arrivals", metavar="KIND", help="constant or poisson.  [default: poisson]")
@click.option("--jitter", default="10%", show_default=True, metavar="SHARE", help="How far a camera's frames stray.")
@click.option("--duration", default="10s", show_default=True, metavar="T", help="How long is measured: 30s, 5m, 8h.")
@click.option("--warmup", default="2s", show_default=True, metavar="T", help="Load before that; 0 for none.")
@click.option("--knee", is_flag=True, help="End at the first step of --rate that gives way.")
@click.option("--p50", metavar="T", help="The median of the response time may be so long: 20ms.")
@click.option("--p90", metavar="T", help="The same for 90 % of the requests.")
@click.option("--p95", metavar="T", help="The same for 95 %.")
@click.option("--p99", metavar="T", help="The same for 99 %.")
@click.option("--p99.9", "p999", metavar="T", help="The same for 99.9 %.")
@click.option("--fail-ratio", default="1%", show_default=True, metavar="F", help="The share that may fail: 0.1%.")
@click.option("--min-rate", metavar="R", help="So many requests must be answered a second.")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="Pictures to send.  [default: random]")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Frames in a request.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=3x640x640", help="The size of an input that takes any.")
@click.option("--model-version", "version", default="", metavar="N", help="The models' version.  [the server's choice]")
@click.option("--protocol", default="grpc", show_default=True, metavar="KIND", help="grpc, http or shm.")
@click.option("--timeout", default="5s", show_default=True, metavar="T", help="An answer later than this is an error.")
@click.option("--in-flight", type=click.IntRange(1), default=256, show_default=True, metavar="N", help="More: refused.")
@click.option("--late", default="10ms", show_default=True, metavar="T", help="A request that is sent later has failed.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="The same gives the same arrivals.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="That send.")
@click.option("--master", type=click.IntRange(1), metavar="N", help="Wait for N workers on other machines; they send.")
@click.option("--worker", metavar="HOST[:PORT]", help="Be a worker of the master there; give nothing else.")
@click.option("--master-port", type=click.IntRange(1, 65535), default=5557, show_default=True, metavar="N")
@click.option("--web", type=click.IntRange(1, 65535), metavar="PORT", help="Locust's pages, to start and stop by hand.")
@click.option("--perf-analyzer", "peer", is_flag=True, help="Measure with perf_analyzer too, and print both.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="Write load.html, .json and .csv there.")
@_options.as_json
@_options.quiet
def command(*, as_json: bool, quiet: bool, report: Path | None, worker: str | None, peer: bool, **given: Any) -> int:
    """Load models on a Triton server and measure how long answers take, from when each request was due.

    \b
    kit load --model digits --rate 50 --p99 50ms
    kit load --model digits --cameras 8 --fps 15 --images pictures --duration 1m
    kit load --model digits --rate 10..400/8 --duration 40s --knee --p99 100ms --report out
    kit load --model digits --users 4
    kit load --model digits=3 --model plates=1 --rate 20..100 --fail-ratio 0.1%

    --rate is 50, 10..200 (a ramp), 10,20,50 (steps), 10..200/8 (8 steps), 50+500@10s+2s (a spike after 10 s for 2 s).

    Exit code 0: held, 1: not held, 3: not measurable (no server, nothing answered, or the generator was too slow).
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit import load
    from kit.load import beside, planning

    if worker is not None:
        return planning.be_worker(worker, given["master_port"])
    asked = planning.plan(planning.Said(**given))
    if peer:
        beside.require(asked.plan)
    board = _load_lines.Board(asked.plan, shown=not (quiet or as_json))
    from kit.stream import stopping

    if asked.hosts.web_port is not None and not quiet:
        click.echo(f"locust at http://localhost:{asked.hosts.web_port}: start there; Ctrl-C ends and reports", err=True)
    with stopping.by_signals() as stop, board:
        outcome = load.run(
            asked.plan, hosts=asked.hosts, knee=asked.limits if asked.knee else None, stop=stop, tell=board.tell
        )
    verdict = load.judge(outcome, asked.limits, steps=asked.steps)
    return _conclude(outcome, verdict, report=report, peer=peer, as_json=as_json, quiet=quiet, stop=stop)


def _conclude(
    outcome: Any, verdict: Any, *, report: Path | None, peer: bool, as_json: bool, quiet: bool, stop: threading.Event
) -> int:  # fmt: skip
    from kit import load
    from kit.errors import LoadError
    from kit.load import beside, document, writing

    compared, problem = None, None
    if peer and not stop.is_set():
        try:
            compared = beside.perf_analyzer(outcome.plan)
        except LoadError as error:
            problem = error  # what was measured is told first
    found = document.of(outcome, verdict, compared)
    if as_json:
        _options.print_json(found)
    else:
        for line in _load_lines.lines(outcome, verdict, compared, quiet=quiet):
            click.echo(line)
    if report is not None:
        written = writing.write(found, report)
        if not (quiet or as_json):
            click.echo(f"report: {written}")
    if outcome.end is load.End.INTERRUPTED:
        sys.stderr.write("kit: interrupted; the figures are those of the time before\n")
        return _INTERRUPTED
    if problem is not None:
        raise problem
    return load.EXIT_CODES[verdict.state]
