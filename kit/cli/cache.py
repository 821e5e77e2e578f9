"""kit cache: show what is kept from earlier runs, or clear it."""

from __future__ import annotations

import click

from kit.cli import _options


@click.command()
@click.option("--clear", is_flag=True, help="Delete the results of all stages.")
@click.option("--server", is_flag=True, help="With --clear: delete the embedded server's environment too.")
@click.option("--environments", is_flag=True, help="With --clear: delete the environments of OpenVINO, LiteRT ... too.")
@_options.as_json
def command(*, clear: bool, server: bool, environments: bool, as_json: bool) -> None:
    """Show how much is kept from earlier runs and where, or clear it. Everything in it can be made again.

    The place is the user's cache folder, or $KIT_CACHE_DIR.
    """
    from kit import cache
    from kit.errors import RepositoryBusyError
    from kit.server import runfolder

    for name, given in (("--server", server), ("--environments", environments)):
        if given and not clear:
            raise click.UsageError(f"{name} says what --clear deletes too; give both")
    if server and runfolder.in_use():
        raise RepositoryBusyError("an embedded server is running or being installed; try again when it has ended")
    usage = cache.clear(server=server, tools=environments) if clear else cache.usage()
    if as_json:
        _options.print_json(usage)
        return
    verb = "cleared " if clear else ""
    click.echo(f"{verb}stages       {usage.stages_bytes / 1e6:9.1f} MB  {usage.entries} results in {usage.root}/stages")
    if server or not clear:
        click.echo(f"{verb}server       {usage.server_bytes / 1e6:9.1f} MB  in {usage.root}/server")
    if environments or not clear:
        click.echo(f"{verb}environments {usage.environments_bytes / 1e6:9.1f} MB  in {usage.root}/environments")
