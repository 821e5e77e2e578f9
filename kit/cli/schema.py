"""kit schema: print the JSON schema of spec files, for editors."""

from __future__ import annotations

import sys

import click


@click.command()
def command() -> None:
    """Print the JSON schema (draft 2020-12) of spec files, with which an editor completes and checks them.

    \b
    kit schema > spec.schema.json
    and as the first line of a spec file:
    # yaml-language-server: $schema=spec.schema.json
    """  # noqa: D301 (click takes the backspace itself as "do not wrap")
    from kit.specfile import schema

    sys.stdout.write(schema.text())
