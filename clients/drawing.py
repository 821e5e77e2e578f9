"""Boxes on pictures, and several pictures on a sheet."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from detector import Detection
from letterbox import Frame
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]

_GOLDEN_RATIO = 0.618034
_TAG_FONT = 14
_DARK: Color = (22, 24, 29)
_LIGHT: Color = (255, 255, 255)
_SHEET: Color = (30, 33, 40)
_CAPTION: Color = (170, 176, 188)


def read_labels(file: Path) -> tuple[str, ...]:
    """Read class names, one a line, from class 0 on."""
    return tuple(file.read_text(encoding="utf-8").split("\n")[:-1])


def label_of(detection: Detection, labels: Sequence[str]) -> str:
    """Return the name of its class, or the class's number where there is no name."""
    return labels[detection.class_id] if detection.class_id < len(labels) else str(detection.class_id)


def color_of(class_id: int) -> Color:
    """Return a colour that is far from those of the classes beside it."""
    hue = (0.58 + class_id * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hls_to_rgb(hue, 0.62 if class_id % 2 else 0.5, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def annotate(frame: Frame, detections: Iterable[Detection], labels: Sequence[str] = (), zoom: float = 1) -> Image.Image:
    """Return a frame [H, W, 3] (RGB), ``zoom`` times as large, with a box and a label for each detection."""
    picture = Image.fromarray(frame)
    if zoom != 1:
        size = (round(picture.width * zoom), round(picture.height * zoom))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    ordered = sorted(detections, key=lambda d: d.score)
    boxes = [_pixels(detection, zoom) for detection in ordered]
    for detection, box in zip(ordered, boxes, strict=True):
        _draw_box(draw, box, color_of(detection.class_id))
    tags: list[Box] = []
    for detection, box in zip(reversed(ordered), reversed(boxes), strict=True):
        text = f"{label_of(detection, labels)}  {detection.score:.2f}"
        tags.append(_draw_tag(draw, box, text, color_of(detection.class_id), tags))
    return picture


def caption(picture: Image.Image, text: str) -> Image.Image:
    """Write a line into the lower left corner, on a dark strip."""
    draw = ImageDraw.Draw(picture, "RGBA")
    size = max(12, picture.height // 30)
    font = ImageFont.load_default(size)
    height = round(size * 1.8)
    draw.rectangle((0, picture.height - height, picture.width, picture.height), fill=(*_DARK, 190))
    draw.text((height // 2, picture.height - height // 2), text, fill=_LIGHT, font=font, anchor="lm")
    return picture


def contact_sheet(pictures: Sequence[tuple[str, Image.Image]], columns: int = 4, gap: int = 10) -> Image.Image:
    """Return pictures in rows of ``columns``, each with its name below; cells are as large as the largest picture."""
    font = ImageFont.load_default(13)
    line = 20
    width = max((p.width for _, p in pictures), default=1)
    height = max((p.height for _, p in pictures), default=1)
    rows = -(-len(pictures) // columns)
    columns = min(columns, max(1, len(pictures)))
    size = (gap + columns * (width + gap), gap + rows * (height + line + gap))
    sheet = Image.new("RGB", size, _SHEET)
    draw = ImageDraw.Draw(sheet)
    for index, (name, picture) in enumerate(pictures):
        left = gap + index % columns * (width + gap)
        top = gap + index // columns * (height + line + gap)
        sheet.paste(picture, (left, top))
        draw.text((left, top + height + line // 2 + 3), name, fill=_CAPTION, font=font, anchor="lm")
    return sheet


def to_frame(picture: Image.Image) -> Frame:
    """Return a picture as an array [H, W, 3], RGB."""
    return np.asarray(picture)


def _pixels(detection: Detection, zoom: float) -> Box:
    left, top, right, bottom = (round(value * zoom) for value in detection.box)
    return left, top, max(left, right), max(top, bottom)


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, color: Color) -> None:
    """Draw a box with a dark rim, so that it shows on a ground of its own colour."""
    left, top, right, bottom = box
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_DARK, width=1)
    draw.rectangle(box, outline=color, width=2)


def _draw_tag(draw: ImageDraw.ImageDraw, box: Box, text: str, color: Color, others: Sequence[Box]) -> Box:
    """Draw a label above its box, else below, else in it: where it fits and hides no other label."""
    font = ImageFont.load_default(_TAG_FONT)
    width, height = round(draw.textlength(text, font=font)) + 10, _TAG_FONT + 4
    picture_width, picture_height = draw.im.size
    left = max(0, min(box[0], picture_width - width))
    places = [(left, top, left + width, top + height) for top in (box[1] - height, box[3], box[1])]
    fitting = [p for p in places if p[1] >= 0 and p[3] <= picture_height and not any(_overlap(p, o) for o in others)]
    place = (fitting or places[-1:])[0]
    draw.rectangle(place, fill=color)
    draw.text((left + width / 2, place[1] + height / 2), text, fill=_ink_on(color), font=font, anchor="mm")
    return place


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink_on(color: Color) -> Color:
    """Return black or white, whichever reads better: https://www.w3.org/TR/AERT/#color-contrast."""
    red, green, blue = color
    return _DARK if (red * 299 + green * 587 + blue * 114) / 1000 > 125 else _LIGHT
