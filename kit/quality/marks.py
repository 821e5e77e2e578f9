"""Boxes and labels as they are drawn over a picture, in its pixels: labels keep out of each other's way."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from kit.quality import words
from kit.quality.values import Box

MOST = 60
"""Boxes of a picture that are drawn, the surest; nobody looks at more."""
_FARTHEST = 1e6
_LETTER = 0.045
"""Height of a letter, of the picture's longer side: the same on the page whatever the picture's size."""
_LETTER_WIDTH = 0.64
_ABOVE, _BELOW = 1.0, 0.25
"""How far a letter reaches from its line, of its height."""
_GAP = 0.3
_LONGEST_LABEL = 16


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A box to draw, and its label; ``state`` is ``same``, ``lost``, ``new`` or ``truth``."""

    left: float
    top: float
    width: float
    height: float
    state: str
    label: str
    text_left: float
    text_top: float
    words: str


@dataclass(frozen=True, kw_only=True)
class _Area:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Area) -> bool:
        """Tell whether they have a point in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def is_drawn(box: Box) -> bool:
    """Tell whether its corners are numbers that a picture can have."""
    return all(math.isfinite(corner) and abs(corner) < _FARTHEST for corner in box.corners)


def letter(width: int, height: int) -> float:
    """Return the height of a picture's letters in its pixels."""
    return round(max(width, height) * _LETTER, 2)


def place(boxes: Sequence[Box], kept: Collection[int], state: str, size: tuple[int, int]) -> tuple[Mark, ...]:
    """Place the surest boxes in a picture of ``size`` (width, height).

    Those at the places ``kept`` are the ``same`` in both models; the others are of ``state`` and come last, on top.
    """
    places = [at for at, box in enumerate(boxes) if is_drawn(box)]
    surest = sorted(places, key=lambda at: -boxes[at].score)[:MOST]
    taken: list[_Area] = []
    marks = [_mark(boxes[at], "same" if at in kept else state, size, taken) for at in surest]
    return tuple(sorted(marks, key=lambda mark: mark.state != "same"))


def _mark(box: Box, state: str, size: tuple[int, int], taken: list[_Area]) -> Mark:
    """Place a box, and its label where none of ``taken`` is; that is added to these."""
    left, right = sorted((box.corners[0], box.corners[2]))
    top, bottom = sorted((box.corners[1], box.corners[3]))
    name = words.printable(box.label)
    shown = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
    label = f"{shown} {box.score:.2f}"
    spots = list(_spots(_Area(left=left, top=top, right=right, bottom=bottom), label, size))
    spot = next((s for s in spots if not any(s.meets(other) for other in taken)), spots[0])
    taken.append(spot)
    return Mark(
        left=round(left, 1),
        top=round(top, 1),
        width=round(right - left, 1),
        height=round(bottom - top, 1),
        state=state,
        label=label,
        text_left=round(spot.left, 1),
        text_top=round(spot.top + _ABOVE * letter(*size), 1),
        words=f"{name} {box.score:.3f} at {', '.join(f'{corner:.0f}' for corner in box.corners)}",
    )


def _spots(box: _Area, label: str, size: tuple[int, int]) -> Iterator[_Area]:
    """Yield where a box's label may stand in the picture, best first: above it, below, in its corners."""
    height = letter(*size)
    width = _LETTER_WIDTH * height * len(label)
    left = max(0.0, min(box.left, size[0] - width))
    inside = (box.top + _ABOVE * height, box.bottom - _GAP * height)
    outside = (box.top - _GAP * height, box.bottom + _ABOVE * height)
    for line in (*outside, *inside):
        if line in inside or (line - _ABOVE * height >= 0 and line + _BELOW * height <= size[1]):
            yield _Area(left=left, top=line - _ABOVE * height, right=left + width, bottom=line + _BELOW * height)
