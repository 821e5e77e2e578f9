"""The compose file says what the command line takes, and serves what is in the repository."""

from pathlib import Path

import click
import pytest
import yaml

from kit import cli

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "compose" / "load.yml").read_text())["services"]


@pytest.mark.parametrize("service", ["load", "worker"])
def test_the_command_line_takes_it(service: str) -> None:
    name, *words = SERVICES[service]["command"].split()
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    command.make_context(name, words, parent=click.Context(cli.cli, **cli.cli.context_settings))


def test_as_many_workers_are_started_as_are_waited_for() -> None:
    words = SERVICES["load"]["command"].split()
    assert SERVICES["worker"]["deploy"]["replicas"] == int(words[words.index("--master") + 1])
    assert SERVICES["worker"]["command"].split()[-1] == "load", "the master's service"


def test_every_folder_of_ours_that_is_mounted_is_there() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert {"../model_repository", "../examples/digits/test/images"} <= mounted
    assert all((ROOT / "compose" / folder).is_dir() for folder in mounted if folder != "../out")
