"""Marked boxes as they are read, held against their picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.accuracy.types import Objects, Outline
from kit.errors import ValidationSetError

_LARGEST_SHARE_OUTSIDE = 0.1
"""Of the boxes of a set; with more, they are not of these pictures, or not in these units."""

_SLACK = 1.0
"""Pixels that a box may reach out of its picture without a word: labelling tools round."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """One object as it is marked: ``corners`` x1, y1, x2, y2 in pixels of the file, ``index`` the model's class."""

    corners: tuple[float, float, float, float]
    index: int
    crowd: bool = False
    area: float | None = None
    outline: Outline | None = None
    keypoints: Sequence[float] | None = None


@dataclass(kw_only=True)
class Marks:
    """Makes ``Objects`` of boxes; counts those that are cut at the picture's edge, and those that are left out."""

    place: Path
    _total: int = 0
    _cut: list[str] = field(default_factory=list)
    _outside: list[str] = field(default_factory=list)

    def picture(self, name: str, size: tuple[int, int], boxes: Sequence[Box]) -> Objects:
        """Return the objects of the picture ``name`` of ``size`` (height, width in pixels)."""
        import numpy as np

        kept: list[Box] = []
        corners: list[tuple[float, ...]] = []
        for box in boxes:
            inside = self._inside(name, size, box)
            if inside is not None:
                kept.append(box)
                corners.append(inside)
        array = np.array(corners, np.float64).reshape(-1, 4)
        areas = [
            (c[2] - c[0]) * (c[3] - c[1]) if b.area is None else b.area for b, c in zip(kept, corners, strict=True)
        ]
        outlines = tuple(box.outline or Outline() for box in kept)
        pointed = bool(kept) and all(box.keypoints is not None for box in kept)
        return Objects(
            boxes=array,
            classes=np.array([box.index for box in kept], np.int64),
            crowd=np.array([box.crowd for box in kept], np.bool_),
            areas=np.array(areas, np.float64),
            outlines=outlines if any(box.outline for box in kept) else (),
            keypoints=np.array([b.keypoints for b in kept], np.float64).reshape(len(kept), -1, 3) if pointed else None,
        )

    def notes(self) -> tuple[str, ...]:
        """Say what was cut and left out. Raises ``ValidationSetError`` where that is too much to be a slip."""
        if len(self._outside) > _LARGEST_SHARE_OUTSIDE * self._total:
            raise ValidationSetError(
                f"{self.place}: {len(self._outside)} of {self._total} boxes lie outside their pictures (first: "
                f"{self._outside[0]}); were the pictures scaled, or are the units wrong?"
            )
        notes = []
        if self._cut:
            notes.append(
                f"{len(self._cut)} boxes reach out of their pictures and were cut at the edge (first: {self._cut[0]})"
            )
        if self._outside:
            left = len(self._outside)
            notes.append(f"{left} boxes have no area in their pictures and were left out (first: {self._outside[0]})")
        return tuple(notes)

    def _inside(self, name: str, size: tuple[int, int], box: Box) -> tuple[float, ...] | None:
        """Return the part of a box that is in the picture; None where nothing is."""
        (height, width), (x1, y1, x2, y2) = size, box.corners
        self._total += 1
        inside = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
        if not (inside[2] > inside[0] and inside[3] > inside[1]):
            self._outside.append(name)
            return None
        if min(x1, y1) < -_SLACK or x2 > width + _SLACK or y2 > height + _SLACK:
            self._cut.append(name)
        return inside
