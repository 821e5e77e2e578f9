"""The first spec file of a model: what was recognised, and what holds without a word."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kit import disk, spec, targets
from kit.errors import UsageError
from kit.recognise import recognise
from kit.specfile import writing
from kit.types import Thresholds


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is known of a model beside the model: see ``kit init --help``."""

    source: str
    targets: tuple[str, ...]
    target_folders: tuple[Path, ...] = ()
    name: str | None = None
    task: str | None = None
    head: str | None = None
    contract: str | None = None
    input_shape: tuple[int, ...] | None = None


def text(wish: Wish, folder: Path) -> str:
    """Return the text of a spec file that is to stand in ``folder``. Raises a ``KitError``."""
    first, *_ = (targets.load(name, wish.target_folders) for name in wish.targets)
    asked = spec.build(
        wish.source, name=wish.name, targets=wish.targets, thresholds=Thresholds(), task=wish.task, head=wish.head,
        contract=wish.contract,
    )  # fmt: skip
    found = recognise(asked, wish.input_shape)
    source = wish.source if ":" in wish.source else os.path.relpath(wish.source, folder)
    said = tuple(key for key in ("task", "head", "contract") if getattr(wish, key) is not None)
    return writing.text(asked, found, first, source, wish.input_shape, said)


def write(wish: Wish, path: Path, *, force: bool) -> None:
    """Write a spec file; one that is there is overwritten only with ``force``.

    Raises a ``KitError``.
    """
    remedy = "choose another --output"
    if path.exists() and not force:
        raise UsageError(f"{path} is there already; --force overwrites it, or {remedy}")
    made = text(wish, path.parent)
    with disk.translated(path, remedy), path.open("w" if force else "x", encoding="utf-8") as file:
        file.write(made)
