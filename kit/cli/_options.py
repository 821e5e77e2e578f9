"""Options that several commands have, and how JSON is printed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

target_folders = click.option(
    "--targets", "target_folders", type=click.Path(path_type=Path, file_okay=False, exists=True), multiple=True,
    metavar="DIR", help="A folder of your own target files; adds to the kit's.",
)  # fmt: skip
quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


def print_json(value: object) -> None:
    """Print a value of ``kit.types`` as one JSON document on standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode() + "\n")
