"""A folder for each class, named by it or by its number, with its pictures inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kit import inputs
from kit.accuracy.layouts import _names, _pictures
from kit.accuracy.layouts.interface import Marked
from kit.accuracy.types import Classes
from kit.errors import InputsError, ValidationSetError

_SYNSET = re.compile(r"n\d{8}")
"""ImageNet's names of folders: WordNet's numbers, which say nothing of the class in words."""


class Folders:
    """As torchvision's ``ImageFolder`` and Ultralytics' classifiers have it."""

    name = "folders"
    rank = 40
    tasks = frozenset({"classify", "embed"})

    def reads(self, place: Path) -> bool:
        """Tell whether there are folders with pictures, and no picture beside them."""
        if not place.is_dir():
            return False
        beside = any(p.suffix.lower() in inputs.IMAGE_SUFFIXES for p in place.iterdir() if p.is_file())
        return not beside and len(_folders(place)) > 1

    def expects(self) -> str:
        """The folder above."""
        return "a folder with a folder of pictures for each class"

    def read(self, place: Path, classes: Classes) -> Marked:
        """Return all pictures, folder by folder. Raises ``ValidationSetError``."""
        folders = _folders(place)
        own = tuple(folder.name for folder in folders)
        indices, notes = _indices(place, own, classes)
        files: list[Path] = []
        truth: list[int] = []
        for folder, index in zip(folders, indices, strict=True):
            found = inputs.images_in(folder)
            files += found
            truth += [index] * len(found)
        names: list[str] = [""] * (max(indices) + 1)
        for index, name in zip(indices, own, strict=True):
            names[index] = name
        return Marked(
            files=tuple(files), sizes=_pictures.sizes(files), truth=tuple(truth), names=tuple(names), notes=notes,
        )  # fmt: skip


def _folders(place: Path) -> list[Path]:
    return [folder for folder in sorted(place.iterdir()) if folder.is_dir() and _has_pictures(folder)]


def _has_pictures(folder: Path) -> bool:
    try:
        return bool(inputs.images_in(folder))
    except InputsError:
        return False


def _indices(place: Path, own: Sequence[str], classes: Classes) -> tuple[list[int], tuple[str, ...]]:
    """Return the model's class of each folder, and what was assumed. Raises ``ValidationSetError``."""
    if classes.task == "embed":
        return list(range(len(own))), ()
    known = {_names.plain(name) for name in classes.names}
    if classes.names and any(_names.plain(name) in known for name in own):
        return _names.by_name(place, own, classes), ()
    if all(name.isdecimal() for name in own):
        return [_names.require_index(int(name), classes, f"{place / name}") for name in own], ()
    if len(own) == classes.count and (not classes.names or all(_SYNSET.fullmatch(name) for name in own)):
        note = f"folders of {place.name} are taken for classes 0 to {len(own) - 1} in alphabetical order"
        return list(range(len(own))), (f"{note}, as torchvision's ImageFolder does",)
    if classes.names:
        return _names.by_name(place, own, classes), ()
    has = "does not tell how many classes it has" if classes.count is None else f"has {classes.count} classes"
    raise ValidationSetError(
        f"{place} has {len(own)} folders of classes ({_pictures.some(own)}), the model {has} and no names; give them "
        "with --labels, or name the folders by class numbers"
    )


MEMBER = Folders()
