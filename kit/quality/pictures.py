"""Sample pictures with both models' boxes: what stayed, what was lost, what is new. Drawn as SVG over each picture."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from kit.quality import words
from kit.quality.values import Box, Sample

_SAME_OBJECT = 0.5
"""Boxes of one label that overlap so much (intersection over union) are one object."""
_MOST_BOXES = 60
_LEAST_SHOWN = 0.005
_LETTER = 0.045
_LONGEST_LABEL = 16
_RIGHT_PART = 0.7


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that is on the page once, however often it is shown; ``address`` is None where it cannot be read."""

    name: str
    address: str | None
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A box to draw, in pixels of its picture; ``state`` is ``same``, ``lost``, ``new`` or ``truth``."""

    left: float
    top: float
    width: float
    height: float
    state: str
    label: str = ""
    text_left: float = 0.0
    text_top: float = 0.0
    anchor: str = "start"
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One picture twice: as the one model sees it and as the other. ``words`` say what differs."""

    name: str
    picture: Picture
    before: tuple[Mark, ...]
    after: tuple[Mark, ...]
    truth: tuple[Mark, ...]
    words: str
    words_before: str
    words_after: str
    letter: float
    differs: float


@dataclass
class Album:
    """The pictures of a page, each kept once."""

    pictures: dict[str, Picture] = field(default_factory=dict)

    def pair(self, sample: Sample) -> Pair:
        """Lay out a sample's two pictures."""
        picture = self._keep(sample)
        same = _matches(sample.before, sample.after)
        both = [(sample.before[first], sample.after[second]) for first, second in same]
        return Pair(
            name=sample.name,
            picture=picture,
            before=_marks(sample.before, {first for first, _ in same}, "lost", picture),
            after=_marks(sample.after, {second for _, second in same}, "new", picture),
            truth=tuple(replace(m, label="") for m in _marks(sample.truth, set(), "truth", picture)),
            words=_with_truth(_difference(sample, both), sample.words_truth),
            words_before=sample.words_before,
            words_after=sample.words_after,
            letter=_letter(picture),
            differs=_how_much(sample, both),
        )

    def _keep(self, sample: Sample) -> Picture:
        name = f"picture-{hashlib.sha256(sample.jpeg).hexdigest()[:12]}"
        if (known := self.pictures.get(name)) is not None and known.address is not None:
            return known
        kind, width, height = _opened(sample.jpeg)
        if not kind:
            width, height = _extent((*sample.before, *sample.after))
            return Picture(name=name, address=None, width=width, height=height)
        address = f"data:image/{kind};base64,{base64.b64encode(sample.jpeg).decode()}"
        self.pictures[name] = Picture(name=name, address=address, width=width, height=height)
        return self.pictures[name]


def most_different_first(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return the pairs in the order that a person wants to look at them."""
    return tuple(sorted(pairs, key=lambda pair: -pair.differs))


def _opened(jpeg: bytes) -> tuple[str, int, int]:
    """Return a picture's format and size; an empty format where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg)) as picture:
            return (picture.format or "").lower(), picture.width, picture.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # all that decoders raise
        return "", 0, 0


def _extent(boxes: Iterable[Box]) -> tuple[int, int]:
    """Return a width and height in which all boxes stand."""
    corners = [box.corners for box in boxes if _is_drawn(box)]
    return max([1, *(math.ceil(c[2]) for c in corners)]), max([1, *(math.ceil(c[3]) for c in corners)])


def _is_drawn(box: Box) -> bool:
    return all(math.isfinite(corner) and abs(corner) < 1e6 for corner in box.corners)


def _matches(before: Sequence[Box], after: Sequence[Box]) -> list[tuple[int, int]]:
    """Pair the boxes of one label that overlap, those that do most first; by their places."""
    overlaps = [
        (overlap, first, second)
        for first, one in enumerate(before)
        for second, other in enumerate(after)
        if one.label == other.label and (overlap := _overlap(one, other)) >= _SAME_OBJECT
    ]
    used: tuple[set[int], set[int]] = set(), set()
    pairs: list[tuple[int, int]] = []
    for _, first, second in sorted(overlaps, key=lambda found: -found[0]):
        if first not in used[0] and second not in used[1]:
            used[0].add(first)
            used[1].add(second)
            pairs.append((first, second))
    return pairs


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union."""
    if not (_is_drawn(one) and _is_drawn(other)):
        return 0.0
    width = min(one.corners[2], other.corners[2]) - max(one.corners[0], other.corners[0])
    height = min(one.corners[3], other.corners[3]) - max(one.corners[1], other.corners[1])
    common = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def _area(box: Box) -> float:
    left, top, right, bottom = box.corners
    return max(0.0, right - left) * max(0.0, bottom - top)


def _marks(boxes: Sequence[Box], kept: set[int], state: str, picture: Picture) -> tuple[Mark, ...]:
    """Place the surest boxes, those that only one model has on top."""
    places = [place for place, box in enumerate(boxes) if _is_drawn(box)]
    surest = sorted(places, key=lambda place: -boxes[place].score)[:_MOST_BOXES]
    marks = [_mark(boxes[place], "same" if place in kept else state, picture) for place in surest]
    return tuple(sorted(marks, key=lambda mark: mark.state != "same"))


def _mark(box: Box, state: str, picture: Picture) -> Mark:
    left, right = sorted((box.corners[0], box.corners[2]))
    top, bottom = sorted((box.corners[1], box.corners[3]))
    letter = _letter(picture)
    ends = left > _RIGHT_PART * picture.width  # a label that began here would leave the picture
    name = words.printable(box.label)
    shown = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
    return Mark(
        left=round(left, 1),
        top=round(top, 1),
        width=round(right - left, 1),
        height=round(bottom - top, 1),
        state=state,
        label=f"{shown} {box.score:.2f}",
        text_left=round(right if ends else left, 1),
        text_top=round(top - 0.3 * letter if top > 1.3 * letter else top + letter, 1),
        anchor="end" if ends else "start",
        words=f"{name} {box.score:.3f} at {', '.join(f'{corner:.0f}' for corner in box.corners)}",
    )


def _letter(picture: Picture) -> float:
    """Return the height of letters, in the picture's pixels: the same on the page whatever the picture's size."""
    return round(max(picture.width, picture.height) * _LETTER, 2)


def _difference(sample: Sample, same: Sequence[tuple[Box, Box]]) -> str:
    if not sample.before and not sample.after:
        if sample.words_before or sample.words_after:
            return "the same answer" if sample.words_before == sample.words_after else "another answer"
        return "nothing found by either"
    lost, new = len(sample.before) - len(same), len(sample.after) - len(same)
    parts = [f"{lost} lost"] * (lost > 0) + [f"{new} new"] * (new > 0) or ["the same boxes"]
    moved = max(((b.score - a.score, a, b) for a, b in same), key=lambda found: abs(found[0]), default=None)
    if moved is not None and _LEAST_SHOWN <= abs(moved[0]) < math.inf:
        parts.append(f"scores differ by up to {abs(moved[0]):.2f}")
    most = max(len(sample.before), len(sample.after))
    if most > _MOST_BOXES:
        parts.append(f"the surest {_MOST_BOXES} of {most} are drawn")
    return f"{len(sample.before)} before, {len(sample.after)} after: {', '.join(parts)}"


def _with_truth(difference: str, truth: str) -> str:
    return f"{difference}; marked as {truth}" if truth else difference


def _how_much(sample: Sample, same: Sequence[tuple[Box, Box]]) -> float:
    """Return a number that is larger where more differs: a box that only one has counts 1, scores their difference."""
    alone = len(sample.before) + len(sample.after) - 2 * len(same)
    scores = [abs(a.score - b.score) for a, b in same]
    answer = float(sample.words_before != sample.words_after and not (sample.before or sample.after))
    return alone + answer + max((s for s in scores if math.isfinite(s)), default=0.0)
