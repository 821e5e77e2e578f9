"""The first spec file of a model: what was recognised, and what holds without a word."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kit import disk, spec, targets
from kit.errors import UsageError
from kit.progress import Progress, Silent
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
    weights: str | None = None
    input_shape: tuple[int, ...] | None = None


def text(wish: Wish, folder: Path, progress: Progress | None = None) -> str:
    """Return the text of a spec file that is to stand in ``folder``. Raises a ``KitError``."""
    first, *_ = (targets.load(name, wish.target_folders) for name in wish.targets)
    asked = spec.build(
        wish.source, name=wish.name, targets=wish.targets, thresholds=Thresholds(), task=wish.task, head=wish.head,
        contract=wish.contract, weights=wish.weights,
    )  # fmt: skip
    found = recognise(asked, wish.input_shape, progress or Silent())
    source = wish.source if ":" in wish.source else os.path.relpath(wish.source, folder)
    given: dict[str, object] = {key: getattr(wish, key) for key in ("task", "head", "contract")}
    if wish.weights is not None:
        given["weights"] = os.path.relpath(wish.weights, folder) if Path(wish.weights).exists() else wish.weights
    said = {key: str(value) for key, value in given.items() if value is not None}
    return writing.text(asked, found, first, {"source": source, **said}, wish.input_shape)


def write(wish: Wish, path: Path, progress: Progress | None = None, *, force: bool) -> None:
    """Write a spec file; one that is there is overwritten only with ``force``.

    Raises a ``KitError``.
    """
    remedy = "choose another --output"
    if path.exists() and not force:
        raise UsageError(f"{path} is there already; --force overwrites it, or {remedy}")
    made = text(wish, path.parent, progress)
    with disk.translated(path, remedy), path.open("w" if force else "x", encoding="utf-8") as file:
        file.write(made)
