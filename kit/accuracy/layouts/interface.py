"""How pictures and what is marked in them lie on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from kit.accuracy.types import Classes, Truth


@dataclass(frozen=True, kw_only=True)
class Marked:
    """The pictures of a set in a stable order, their sizes (height, width in pixels), and the truth of each, if any.

    ``names`` are the set's own class names by the model's index, where it has some. ``sources`` are the files that
    the truth was read from. ``notes`` are for the user, a sentence each.
    """

    files: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    truth: tuple[Truth, ...] | None
    names: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Layout(Protocol):
    """One way to lay out a validation set. The one with the smallest ``rank`` that reads a place is used.

    ``tasks`` are those that its truth is of use to.
    """

    name: str
    rank: int
    tasks: frozenset[str]

    def reads(self, place: Path) -> bool:
        """Tell by what lies there whether a place is laid out so."""

    def expects(self) -> str:
        """Say in a phrase what lies where, for messages."""

    def read(self, place: Path, classes: Classes) -> Marked:
        """Return what is there, with the model's class indices. Raises ``ValidationSetError`` and ``InputsError``."""
