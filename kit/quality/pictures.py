"""Sample pictures with both models' boxes: what stayed, what was lost, what is new. Drawn as SVG over each picture."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from kit.quality import marks
from kit.quality.marks import Mark
from kit.quality.values import Box, Sample

_SAME_OBJECT = 0.5
"""Boxes of one label that overlap so much (intersection over union) are one object."""
_LEAST_SHOWN = 0.005


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that is on the page once, however often it is shown; ``address`` is None where it cannot be read."""

    name: str
    address: str | None
    width: int
    height: int


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
        size = picture.width, picture.height
        same = _matches(sample.before, sample.after)
        both = [(sample.before[first], sample.after[second]) for first, second in same]
        return Pair(
            name=sample.name,
            picture=picture,
            before=marks.place(sample.before, {first for first, _ in same}, "lost", size),
            after=marks.place(sample.after, {second for _, second in same}, "new", size),
            truth=tuple(replace(m, label="") for m in marks.place(sample.truth, (), "truth", size)),
            words=_with_truth(_difference(sample, both), sample.words_truth),
            words_before=sample.words_before,
            words_after=sample.words_after,
            letter=marks.letter(*size),
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
    corners = [box.corners for box in boxes if marks.is_drawn(box)]
    return max([1, *(math.ceil(c[2]) for c in corners)]), max([1, *(math.ceil(c[3]) for c in corners)])


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
    if not (marks.is_drawn(one) and marks.is_drawn(other)):
        return 0.0
    width = min(one.corners[2], other.corners[2]) - max(one.corners[0], other.corners[0])
    height = min(one.corners[3], other.corners[3]) - max(one.corners[1], other.corners[1])
    common = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def _area(box: Box) -> float:
    left, top, right, bottom = box.corners
    return max(0.0, right - left) * max(0.0, bottom - top)


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
    if most > marks.MOST:
        parts.append(f"the surest {marks.MOST} of {most} are drawn")
    return f"{len(sample.before)} before, {len(sample.after)} after: {', '.join(parts)}"


def _with_truth(difference: str, truth: str) -> str:
    return f"{difference}; marked as {truth}" if truth else difference


def _how_much(sample: Sample, same: Sequence[tuple[Box, Box]]) -> float:
    """Return a number that is larger where more differs: a box that only one has counts 1, scores their difference."""
    alone = len(sample.before) + len(sample.after) - 2 * len(same)
    scores = [abs(a.score - b.score) for a, b in same]
    answer = float(sample.words_before != sample.words_after and not (sample.before or sample.after))
    return alone + answer + max((s for s in scores if math.isfinite(s)), default=0.0)
