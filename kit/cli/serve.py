"""kit serve: serve a model repository with a real Triton and keep it serving."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from kit.cli import _options
from kit.server.interface import ENGINES, RunningServer, ServerOptions, engine

_PORT = click.IntRange(0, 65535)


@click.command()
@click.argument("repository", type=click.Path(path_type=Path))
@click.option("--target", metavar="NAME", help="Serve each model's configs/NAME.pbtxt; without it: config.pbtxt.")
@click.option("--engine", "engine_name", type=click.Choice(ENGINES), default="embedded", show_default=True,
              help="A server of the kit's own on this CPU, or the target's container.")  # fmt: skip
@click.option("--http-port", type=_PORT, default=8000, show_default=True, help="0: choose a free one.")
@click.option("--grpc-port", type=_PORT, default=8001, show_default=True, help="0: choose a free one.")
@click.option("--metrics-port", type=_PORT, default=8002, show_default=True, help="0: choose a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Where Triton's log goes.")
@click.option("--verbose", is_flag=True, help="Let Triton log every request; to standard error without --log-file.")
@click.option("--exit-timeout", type=click.IntRange(1), default=15, show_default=True, metavar="SECONDS",
              help="How long requests in flight may take at the end.")  # fmt: skip
@click.option("--print-command", is_flag=True, help="Print the server's command line and start nothing.")
@_options.target_folders
@_options.quiet
def command(
    repository: Path, *, target: str | None, engine_name: str, http_port: int, grpc_port: int, metrics_port: int,
    host: str, log_file: Path | None, verbose: bool, exit_timeout: int, print_command: bool,
    target_folders: tuple[Path, ...], quiet: bool,
) -> None:  # fmt: skip
    """Serve the models in REPOSITORY; print one line when all are ready.

    Ctrl-C or SIGTERM answers what is in flight and ends with exit code 0; a second one ends at once.
    """
    from kit import targets
    from kit.server.supervisor import Supervisor

    options = ServerOptions(
        repository=repository, config_name=target, address=host, http_port=http_port, grpc_port=grpc_port,
        metrics_port=metrics_port, log_file=log_file, verbose=verbose, exit_timeout_s=exit_timeout,
        target=targets.load(target, target_folders) if target and engine_name == "docker" else None,
    )  # fmt: skip
    chosen = engine(engine_name)
    if print_command:
        click.echo(shlex.join(chosen.command(options)))
        return
    Supervisor(engine=chosen, options=options, announce=lambda line: _announce(line, quiet)).serve(
        lambda server: _ready(server, quiet)
    )


def _announce(line: str, quiet: bool) -> None:
    if not quiet:
        print(f"kit: {line}", file=sys.stderr, flush=True)


def _ready(server: RunningServer, quiet: bool) -> None:
    if not quiet:
        models = ", ".join(f"{model.name} (version {model.version})" for model in server.ready_models())
        places = f"gRPC {server.grpc_url}, HTTP {server.http_url}, metrics {server.metrics_url}"
        print(f"ready: {models}; {places}", flush=True)
