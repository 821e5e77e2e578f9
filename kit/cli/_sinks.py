"""An option for each kind of sink that has a flag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from kit.stream import sinks
from kit.stream.sinks.interface import STANDARD_OUTPUT, Sink, Takes

_PREFIX = "sink_"
_METAVARS = {Takes.FILE: "FILE", Takes.FOLDER: "DIR", Takes.PORT: "PORT"}


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for sink in reversed(_with_flags()):
        name = f"{_PREFIX}{sink.name}"
        if sink.takes in _METAVARS:
            option = click.option(sink.flag, name, metavar=_METAVARS[sink.takes], help=sink.help)
        else:
            option = click.option(sink.flag, name, is_flag=True, help=sink.help)
        command = option(command)
    return command


def targets(given: dict[str, Any]) -> tuple[tuple[Sink, str], ...]:
    """Take the sinks' options out of what was given; return the wanted kinds, and what each is opened with."""
    values = {sink: given.pop(f"{_PREFIX}{sink.name}") for sink in _with_flags()}
    return tuple((sink, STANDARD_OUTPUT if value is True else value) for sink, value in values.items() if value)


def _with_flags() -> tuple[Sink, ...]:
    return tuple(sink for sink in sinks.every() if sink.flag)
