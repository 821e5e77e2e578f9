"""Class names of a set and of a model, held against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kit.accuracy.types import Classes
from kit.errors import ValidationSetError


def plain(name: str) -> str:
    """Return a name without what people write differently: case, blanks, hyphens, underscores."""
    return "".join(letter for letter in name.casefold() if letter not in " _-")


def by_name(
    place: Path, own: Sequence[str], classes: Classes, needed: Callable[[int], bool] = lambda _: True
) -> list[int]:
    """Return the model's index of each of a set's class names; -1 where the model has none and none is ``needed``.

    Raises ``ValidationSetError`` with the first one that the model does not have, and the model's name there.
    """
    known: dict[str, int] = {}
    for index, name in enumerate(classes.names):
        known.setdefault(plain(name), index)
    for position, name in enumerate(own):
        if plain(name) not in known and needed(position):
            here = f'"{classes.names[position]}"' if position < len(classes.names) else "nothing"
            raise ValidationSetError(
                f'{place}: class {position} of the validation set is "{name}", the model has {here} there and no '
                f'"{name}" among its {len(classes.names)} classes; give the names that fit with --labels'
            )
    return [known.get(plain(name), -1) for name in own]


def require_index(index: int, classes: Classes, where: str) -> int:
    """Return a class index that the model has. Raises ``ValidationSetError``."""
    if index < 0 or (classes.count is not None and index >= classes.count):
        most = "" if classes.count is None else f"; the model has classes 0 to {classes.count - 1}"
        raise ValidationSetError(f"{where}: class {index}{most}")
    return index
