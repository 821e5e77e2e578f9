"""What was found, drawn on the picture: boxes, masks, a classifier's answer, and how fast that was."""

from __future__ import annotations

import colorsys
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from kit.stream.lines import name_of
from kit.stream.results import (
    Classification,
    Detections,
    Embedding,
    Instances,
    Output,
    Poses,
    Segmentation,
    Tensors,
)
from kit.stream.sinks.interface import Emission

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image, ImageDraw, ImageFont

    Pixels: TypeAlias = npt.NDArray[np.uint8]

Color: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[int, int, int, int]

_GOLDEN_RATIO = 0.618034
_DARK: Color = (22, 24, 29)
_LIGHT: Color = (255, 255, 255)
_SHEET: Color = (30, 33, 40)
_FAINT: Color = (170, 176, 188)
_OPAQUE = 0.45
_BANNER_ROWS = 3
_SEEN = 0.5
_SCALE = 45
"""A line of text is this part of the shorter side, but not below ``_SMALLEST``."""
_SMALLEST = 13


def color_of(class_id: int) -> Color:
    """Return a colour that is far from those of the classes beside it."""
    hue = (0.58 + class_id * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hls_to_rgb(hue, 0.62 if class_id % 2 else 0.5, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def annotate(image: Pixels, output: Output, labels: Sequence[str] = (), *, zoom: float = 1) -> Image.Image:
    """Return a frame [H, W, 3] (RGB), ``zoom`` times as large, with what was found in it."""
    from PIL import Image

    picture = Image.fromarray(image)
    if zoom != 1:
        size = (max(1, round(picture.width * zoom)), max(1, round(picture.height * zoom)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    _DRAWN[type(output)](picture, output, tuple(labels), zoom)
    return picture


def draw(emission: Emission) -> Image.Image:
    """Return an emission's frame with what was found, and on a strip below who saw it, how fast and how late."""
    result = emission.result
    picture = annotate(result.frame.image, result.output, emission.labels)
    return caption(picture, f"{result.frame.camera}   {emission.fps:.1f} fps   {emission.age_ms:.0f} ms")


def caption(picture: Image.Image, text: str) -> Image.Image:
    """Write a line into the lower left corner, on a dark strip."""
    size = _text_size(picture)
    pen = _pen(picture, "RGBA")
    height = round(size * 1.8)
    pen.rectangle((0, picture.height - height, picture.width, picture.height), fill=(*_DARK, 190))
    pen.text((height // 2, picture.height - height // 2), text, fill=_LIGHT, font=_font(size), anchor="lm")
    return picture


def contact_sheet(pictures: Sequence[tuple[str, Image.Image]], columns: int = 4, gap: int = 10) -> Image.Image:
    """Return pictures in rows of ``columns``, each with its name below; cells are as large as the largest picture."""
    from PIL import Image

    font = _font(_SMALLEST)
    line = 20
    width = max((p.width for _, p in pictures), default=1)
    height = max((p.height for _, p in pictures), default=1)
    rows = -(-len(pictures) // columns)
    columns = min(columns, max(1, len(pictures)))
    size = (gap + columns * (width + gap), gap + rows * (height + line + gap))
    sheet = Image.new("RGB", size, _SHEET)
    pen = _pen(sheet)
    for index, (name, picture) in enumerate(pictures):
        left = gap + index % columns * (width + gap)
        top = gap + index // columns * (height + line + gap)
        sheet.paste(picture, (left, top))
        pen.text((left, top + height + line // 2 + 3), name, fill=_FAINT, font=font, anchor="lm")
    return sheet


def jpeg(picture: Image.Image, quality: int = 80) -> bytes:
    """Return a picture as JPEG."""
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=quality)
    return held.getvalue()


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _pen(picture: Image.Image, mode: str | None = None) -> ImageDraw.ImageDraw:
    from PIL import ImageDraw

    return ImageDraw.Draw(picture, mode)


def _text_size(picture: Image.Image) -> int:
    return max(_SMALLEST, min(picture.size) // _SCALE)


# One function for each kind of output.


def _detections(picture: Image.Image, output: Detections, labels: tuple[str, ...], zoom: float) -> None:
    """Draw the surest last, so that it lies on top, and name the surest first, so that its label has room."""
    pen = _pen(picture)
    boxes = [_pixels(box, zoom, picture) for box in output.boxes.tolist()]
    classes, scores = output.classes.tolist(), output.scores.tolist()
    width = max(2, min(picture.size) // 240)
    for class_id, box in reversed(list(zip(classes, boxes, strict=True))):
        _draw_box(pen, box, color_of(class_id), width)
    tags: list[Box] = []
    for class_id, score, box in zip(classes, scores, boxes, strict=True):
        text = f"{name_of(class_id, labels)}  {score:.2f}"
        tags.append(_draw_tag(pen, box, text, color_of(class_id), tags, picture))


def _instances(picture: Image.Image, output: Instances, labels: tuple[str, ...], zoom: float) -> None:
    """Tint each object in its class's colour, the surest last."""
    from PIL import Image

    for index in reversed(range(len(output))):
        mask = Image.fromarray((output.masks[index] > 0).astype("uint8") * round(_OPAQUE * 255))
        tint = Image.new("RGB", picture.size, color_of(int(output.classes[index])))
        picture.paste(tint, mask=mask.resize(picture.size, Image.Resampling.BILINEAR))
    _detections(picture, output, labels, zoom)


def _poses(picture: Image.Image, output: Poses, labels: tuple[str, ...], zoom: float) -> None:
    """Dot the keypoints that are seen; which of them belong together is the network's secret."""
    _detections(picture, output, labels, zoom)
    pen, size = _pen(picture), max(2, min(picture.size) // 160)
    for class_id, points in zip(output.classes.tolist(), output.keypoints.tolist(), strict=True):
        for x, y, seen in points:
            if seen >= _SEEN:
                at = (x * zoom - size, y * zoom - size, x * zoom + size, y * zoom + size)
                pen.ellipse(at, fill=color_of(class_id), outline=_DARK)


def _embedding(picture: Image.Image, output: Embedding, labels: tuple[str, ...], zoom: float) -> None:
    """Say that there is one; a point in a space of hundreds of dimensions is no picture."""


def _classification(picture: Image.Image, output: Classification, labels: tuple[str, ...], zoom: float) -> None:  # noqa: ARG001
    """Write the likeliest classes into the upper left corner, each with a bar as long as it is likely."""
    size = _text_size(picture)
    pen, font, row = _pen(picture, "RGBA"), _font(size), round(size * 1.6)
    best = output.top(min(_BANNER_ROWS, len(output.probabilities)))
    names = [name_of(class_id, labels) for class_id, _ in best]
    bar = size * 6
    wide = max(pen.textlength(name, font=font) for name in names)
    numbers = pen.textlength("100 %", font=font)
    right = min(picture.width, round(size * 3 + wide + bar + numbers))
    pen.rectangle((0, 0, right, row * len(best) + size // 2), fill=(*_DARK, 190))
    for index, (name, (class_id, share)) in enumerate(zip(names, best, strict=True)):
        middle = size // 4 + row * index + row // 2
        left = size + wide + size // 2
        pen.text((size // 2, middle), name, fill=_LIGHT, font=font, anchor="lm")
        pen.rectangle(
            (left, middle - size // 3, left + bar * share, middle + size // 3), fill=(*color_of(class_id), 255)
        )
        pen.text((left + bar + size // 2, middle), f"{share:.0%}", fill=_FAINT, font=font, anchor="lm")


def _segmentation(picture: Image.Image, output: Segmentation, labels: tuple[str, ...], zoom: float) -> None:  # noqa: ARG001
    """Tint each class but the first, which is the background, and name it where most of it is."""
    import numpy as np
    from PIL import Image

    classes = output.classes.astype(np.int64)
    found = [int(class_id) for class_id in np.unique(classes) if class_id]
    if not found:
        return
    palette = np.zeros((max(found) + 1, 4), np.uint8)
    for class_id in found:
        palette[class_id] = (*color_of(class_id), round(_OPAQUE * 255))
    tint = Image.fromarray(palette[np.maximum(classes, 0)]).resize(picture.size, Image.Resampling.NEAREST)
    picture.paste(tint, mask=tint.getchannel("A"))
    pen = _pen(picture)
    tags: list[Box] = []
    height, width = classes.shape
    for class_id in found:
        ys, xs = np.nonzero(classes == class_id)
        x, y = (int(np.median(xs)) + 0.5) * picture.width / width, (int(np.median(ys)) + 0.5) * picture.height / height
        at = (round(x), round(y), round(x), round(y))
        tags.append(_draw_tag(pen, at, name_of(class_id, labels), color_of(class_id), tags, picture))


def _tensors(picture: Image.Image, output: Tensors, labels: tuple[str, ...], zoom: float) -> None:  # noqa: ARG001
    """Name the outputs, whose meaning nobody told."""
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in output.arrays.items())
    size = _text_size(picture)
    pen = _pen(picture, "RGBA")
    pen.rectangle((0, 0, picture.width, size * 2), fill=(*_DARK, 190))
    pen.text((size // 2, size), shapes, fill=_LIGHT, font=_font(size), anchor="lm")


_DRAWN: Mapping[type, Callable[[Any, Any, tuple[str, ...], float], None]] = {
    Detections: _detections,
    Instances: _instances,
    Poses: _poses,
    Embedding: _embedding,
    Classification: _classification,
    Segmentation: _segmentation,
    Tensors: _tensors,
}


def _pixels(box: Sequence[float], zoom: float, picture: Image.Image) -> Box:
    """Return a box in whole pixels of the picture; one outside of it, or turned round, becomes a line at its edge."""
    limits = (picture.width - 1, picture.height - 1, picture.width - 1, picture.height - 1)
    left, top, right, bottom = (round(min(max(0.0, v * zoom), limit)) for v, limit in zip(box, limits, strict=True))
    return left, top, max(left, right), max(top, bottom)


def _draw_box(pen: ImageDraw.ImageDraw, box: Box, color: Color, width: int) -> None:
    """Draw a box with a dark rim, so that it shows on a ground of its own colour."""
    left, top, right, bottom = box
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_DARK, width=1)
    pen.rectangle(box, outline=color, width=width)


def _draw_tag(
    pen: ImageDraw.ImageDraw, box: Box, text: str, color: Color, others: Sequence[Box], picture: Image.Image
) -> Box:
    """Draw a label above its box, else below, else in it: where it fits and hides no other label."""
    size = _text_size(picture)
    font = _font(size)
    width, height = round(pen.textlength(text, font=font)) + 10, size + 5
    left = max(0, min(box[0], picture.width - width))
    places = [(left, top, left + width, top + height) for top in (box[1] - height, box[3], box[1])]
    fitting = [p for p in places if p[1] >= 0 and p[3] <= picture.height and not any(_overlap(p, o) for o in others)]
    place = (fitting or places[-1:])[0]
    pen.rectangle(place, fill=color)
    pen.text((left + width / 2, place[1] + height / 2), text, fill=_ink_on(color), font=font, anchor="mm")
    return place


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink_on(color: Color) -> Color:
    """Return black or white, whichever reads better: https://www.w3.org/TR/AERT/#color-contrast."""
    red, green, blue = color
    return _DARK if (red * 299 + green * 587 + blue * 114) / 1000 > 125 else _LIGHT
