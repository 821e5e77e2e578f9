"""A plain folder of pictures: nothing is marked, so agreement with the FP32 model is what can be measured."""

from __future__ import annotations

from pathlib import Path

from kit import inputs
from kit.accuracy.layouts import _pictures
from kit.accuracy.layouts.interface import Marked
from kit.accuracy.types import Classes


class Unlabelled:
    """Takes every folder; says that it is no accuracy."""

    name = "unlabelled"
    rank = 100
    tasks = frozenset({"detect", "instances", "pose", "classify", "segment", "embed", "raw"})

    def reads(self, place: Path) -> bool:
        """Tell whether it is a folder."""
        return place.is_dir()

    def expects(self) -> str:
        """Any pictures."""
        return "or a folder of pictures without labels"

    def read(self, place: Path, classes: Classes) -> Marked:
        """Return all pictures below the folder. Raises ``InputsError`` and ``ValidationSetError``."""
        files = inputs.images_in(place)
        notes = () if classes.task in ("embed", "raw") else (_note(place, len(files)),)
        return Marked(files=files, sizes=_pictures.sizes(files), truth=None, notes=notes)


def _note(place: Path, count: int) -> str:
    return (
        f"{place} has {count} pictures and no labels that were found: measured is the agreement with the FP32 model, "
        "which is taken for right, its mistakes too; that is not accuracy"
    )


MEMBER = Unlabelled()
