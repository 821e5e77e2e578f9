"""Composes scenes: handwritten digits, drawn in ink or on scraps of paper, over crops of photographs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from examples.digits.materials import Materials, Split, materials

SIZE_PX = 320
DIGIT_HEIGHT_PX = (24.0, 110.0)

_INK_VISIBLE = 0.35  # a pixel with this much ink belongs to the digit's box
_MIN_CONTRAST = 80.0  # of luminance, 0 to 255, between ink and what is under it
_BUSY_DEVIATION = 48.0  # of luminance; on a busier background the digit gets a paper
_PAPER_CHANCE = 0.25
_MAX_SHARED_AREA = 0.10  # of the smaller of two digits
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An image and the digits in it."""

    image: NDArray[np.uint8]
    """`[H, W, 3]`, RGB."""
    boxes: NDArray[np.float32]
    """`[D, 4]`, left, top, right, bottom in pixels, tight around visible ink."""
    labels: NDArray[np.int64]
    """`[D]`, 0 to 9."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How large a scene is and how many digits it may hold."""

    size_px: int = SIZE_PX
    digits: tuple[int, int] = (1, 8)
    distractors: int = 0
    """At most so many plain polygons and empty papers lie under the digits: what is not a digit."""


@dataclass(frozen=True, kw_only=True)
class Hand:
    """How a digit is written."""

    turn_rad: float = 0.0
    slant: float = 0.0
    aspect: float = 1.0
    """Width by height, of the glyph's grid."""
    threshold: float = 0.45
    """Ink of the glyph, 0 to 1, where a stroke ends: a high one writes thin."""


def scene(split: Split, index: int, *, seed: int, layout: Layout | None = None) -> Scene:
    """Scene `index` of the endless sequence that `split` and `seed` define."""
    rng = np.random.default_rng((seed, split.value, index))
    return compose(rng, materials(split), layout or Layout())


def scenes(split: Split, count: int, *, seed: int, layout: Layout | None = None) -> Iterator[Scene]:
    """The first `count` scenes of the sequence."""
    return (scene(split, index, seed=seed, layout=layout) for index in range(count))


def compose(rng: Generator, supply: Materials, layout: Layout) -> Scene:
    """Draw one scene. Where the image is full, fewer digits than drawn by lot are placed, never none."""
    canvas = background(rng, supply, layout.size_px)
    if layout.distractors:
        _distract(rng, canvas, int(rng.integers(layout.distractors + 1)))
    wanted = int(rng.integers(layout.digits[0], layout.digits[1] + 1))
    taken: list[NDArray[np.float32]] = []
    boxes: list[NDArray[np.float32]] = []
    labels: list[int] = []
    for _ in range(wanted * 6):
        if len(boxes) == wanted:
            break
        glyph = int(rng.integers(len(supply.labels)))
        ink = random_ink(rng, supply.glyphs[glyph], layout.size_px)
        placed = _place(rng, canvas, ink, taken)
        if placed is not None:
            boxes.append(placed)
            labels.append(int(supply.labels[glyph]))
    image = _finish(rng, canvas)
    return Scene(image=image, boxes=np.stack(boxes), labels=np.array(labels, dtype=np.int64))


def background(rng: Generator, supply: Materials, size_px: int) -> NDArray[np.float32]:
    """A random square of a random photograph, perhaps mirrored, with its light changed. `[S, S, 3]`, 0 to 255."""
    photograph = supply.photographs[int(rng.integers(len(supply.photographs)))]
    height, width = photograph.shape[:2]
    side = int(min(height, width, size_px / rng.uniform(0.8, 1.8)))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    crop = photograph[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    resized = cv2.resize(np.ascontiguousarray(crop), (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    gains = (rng.uniform(0.7, 1.2) * rng.uniform(0.88, 1.12, size=3)).astype(np.float32)
    lit = resized * gains + np.float32(rng.uniform(-20, 20))
    return np.asarray(np.clip(lit, 0, 255), dtype=np.float32)


def random_ink(rng: Generator, glyph: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """A glyph at a random size, with a slight turn and slant. `[h, w]`, ink 0 to 1, cropped to what is visible."""
    low, high = np.log(DIGIT_HEIGHT_PX)
    height_px = min(float(np.exp(rng.uniform(low, high))), size_px * 0.8)
    hand = Hand(
        turn_rad=float(np.deg2rad(rng.uniform(-12, 12))),
        slant=float(rng.uniform(-0.18, 0.18)),
        aspect=float(rng.uniform(0.85, 1.2)),
        threshold=float(rng.uniform(0.38, 0.55)),
    )
    return render_ink(glyph, height_px, hand)


def render_ink(glyph: NDArray[np.float32], height_px: float, hand: Hand) -> NDArray[np.float32]:
    """Scale a glyph `[8, 8]` smoothly to about `height_px`, as the hand writes it. `[h, w]`, ink 0 to 1, cropped."""
    scale = height_px / 8.0
    cosine, sine = np.cos(hand.turn_rad), np.sin(hand.turn_rad)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    matrix = turn @ np.array([[1.0, hand.slant], [0.0, 1.0]]) @ np.diag([scale * hand.aspect, scale])
    side = int(np.ceil(height_px * 2.2))
    offset = np.array([side / 2, side / 2]) - matrix @ np.array([3.5, 3.5])
    warped = cv2.warpAffine(glyph, np.column_stack((matrix, offset)), (side, side), flags=cv2.INTER_CUBIC)
    softness = max(0.12, 1.2 / scale)  # of an edge, in ink: about one pixel
    ink = np.clip((warped - hand.threshold) / softness + 0.5, 0.0, 1.0).astype(np.float32)
    left, top, right, bottom = _extent(ink)
    visible: NDArray[np.float32] = ink[top:bottom, left:right]
    return visible


def _extent(ink: NDArray[np.float32]) -> tuple[int, int, int, int]:
    visible = ink >= _INK_VISIBLE
    columns, rows = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _place(
    rng: Generator, canvas: NDArray[np.float32], ink: NDArray[np.float32], taken: list[NDArray[np.float32]]
) -> NDArray[np.float32] | None:
    """Draw the ink at a free place, on paper where that is needed; its box, or None where the place is taken."""
    size, (height, width) = canvas.shape[0], ink.shape
    if max(height, width) > size:
        return None
    left, top = int(rng.integers(size - width + 1)), int(rng.integers(size - height + 1))
    region = canvas[top : top + height, left : left + width]
    on_paper = rng.random() < _PAPER_CHANCE or float((region @ _LUMINANCE).std()) > _BUSY_DEVIATION
    margin = int(height * rng.uniform(0.08, 0.3)) + 2 if on_paper else 0
    claimed = np.array([left - margin, top - margin, left + width + margin, top + height + margin], dtype=np.float32)
    if any(_shared_area(claimed, other) > _MAX_SHARED_AREA * (not on_paper) for other in taken):
        return None
    if on_paper:
        _lay_paper(rng, canvas, claimed.clip(0, size).astype(int))
    _blend(region, ink * rng.uniform(0.85, 1.0), _ink_colour(rng, region))
    taken.append(claimed)
    return np.array([left, top, left + width, top + height], dtype=np.float32)


def _distract(rng: Generator, canvas: NDArray[np.float32], count: int) -> None:
    """Draw polygons, never much higher than wide (they could pass for a 1), and empty papers."""
    size = canvas.shape[0]
    for _ in range(count):
        centre = rng.uniform(0, size, size=2)
        reach = float(np.exp(rng.uniform(np.log(8), np.log(70)))) * np.array([rng.uniform(0.8, 1.6), 1.0])
        if rng.random() < 0.3:
            left, top, right, bottom = np.concatenate((centre - reach, centre + reach)).clip(0, size).astype(int)
            if right > left and bottom > top:
                _lay_paper(rng, canvas, np.array([left, top, right, bottom]))
            continue
        angles = np.sort(rng.uniform(0, 2 * np.pi, size=int(rng.integers(3, 10))))
        spokes = np.stack((np.cos(angles), np.sin(angles)), axis=1) * rng.uniform(0.5, 1.0, size=(len(angles), 1))
        corners = np.rint(centre + spokes * reach).astype(np.int32)
        cv2.fillPoly(canvas, [corners], rng.uniform(0, 255, size=3).tolist(), lineType=cv2.LINE_AA)


def _shared_area(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Common area of two boxes, as a share of the smaller one."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    areas = [float(np.prod(box[2:] - box[:2])) for box in (first, second)]
    return float(np.prod(sides.clip(min=0))) / min(areas)


def _lay_paper(rng: Generator, canvas: NDArray[np.float32], place: NDArray[np.int_]) -> None:
    left, top, right, bottom = (int(edge) for edge in place)
    sheet = canvas[top:bottom, left:right]
    light = rng.uniform(175, 250) if rng.random() < 0.8 else rng.uniform(15, 80)
    colour = np.clip(light + rng.uniform(-25, 25, size=3), 0, 255)
    shade = rng.uniform(-12, 12) * np.linspace(-1, 1, sheet.shape[0])[:, None, None]
    sheet += rng.uniform(0.85, 1.0) * (colour + shade - sheet)


def _ink_colour(rng: Generator, region: NDArray[np.float32]) -> NDArray[np.float64]:
    """A random colour that stands out from the region; black or white where none was found."""
    under = float((region @ _LUMINANCE).mean())
    for _ in range(20):
        colour = rng.uniform(0, 255, size=3)
        if abs(float(colour @ _LUMINANCE) - under) >= _MIN_CONTRAST:
            return colour
    return np.full(3, 10.0 if under > 127 else 245.0)


def _blend(region: NDArray[np.float32], alpha: NDArray[np.float32], colour: NDArray[np.float64]) -> None:
    region += alpha[:, :, None] * (colour - region)


def _finish(rng: Generator, canvas: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A camera's blur and noise, then 8 bits."""
    blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 0.9))
    noise = rng.standard_normal(blurred.shape[:2], dtype=np.float32) * np.float32(rng.uniform(0.0, 4.0))
    noisy = blurred + noise[:, :, None]
    return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)
