"""The pictures that a lower precision is calibrated on: chosen by coverage, held as an artifact, read as served.

``choose`` makes a ``CalibrationSet`` from a folder, a COCO set, a video or a manifest; ``write`` keeps it as one.
"""

from __future__ import annotations

from pathlib import Path

from kit import inputs
from kit.calibration import listing, survey
from kit.calibration.choosing import ENOUGH, LEAST, MOST, USUAL, choose
from kit.calibration.manifest import read, require_replaceable, write
from kit.calibration.sets import CalibrationSet, Choice, Coverage
from kit.errors import InputsError
from kit.types import Picture

__all__ = [
    "ENOUGH", "LEAST", "MOST", "USUAL", "CalibrationSet", "Choice", "Coverage", "choose", "divisible", "images",
    "pictures", "read", "require_replaceable", "write",
]  # fmt: skip


def pictures(source: Path) -> tuple[Picture, ...]:
    """Return all pictures of a source with their digests, undecoded: those that a choice keeps apart from.

    Raises ``CalibrationError``.
    """
    found = listing.of(source)
    if found.manifest is not None:
        return read(found.manifest).pictures
    given = survey.candidates(found)
    survey.require_any(found, given)
    return tuple(candidate.picture for candidate in given.pictures)


def divisible(source: Path) -> bool:
    """Tell whether some of its pictures can be kept for judging.

    Not of a video, whose frames are all alike, nor of a choice that was made. Raises ``CalibrationError``.
    """
    found = listing.of(source)
    return found.manifest is None and bool(found.images)


def images(source: Path) -> tuple[Path, ...]:
    """Return the image files of a set of pictures, sorted: those that answers are compared on. None of a video.

    Raises ``InputsError`` where it holds nothing, ``CalibrationError`` where it is a set in which something is wrong.
    """
    if source.suffix.lower() not in listing.SET_SUFFIXES:
        try:
            return inputs.images_in(source)
        except InputsError:
            if listing.has_videos(source):
                return ()
            raise
    found = listing.of(source)
    if found.manifest is not None:
        return tuple(sorted({p.path for p in read(found.manifest).pictures if p.frame is None}))
    return found.images
