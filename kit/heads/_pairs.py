"""Boxes [N, A, 4] beside scores [N, A, columns], which DETR's family and SSD's share."""

from __future__ import annotations

from dataclasses import dataclass

from kit.evidence import Evidence
from kit.heads import _outputs, _text
from kit.heads.interface import Array, Decoded
from kit.types import Interpretation, Model, Tensor

UNITS = ("pixels", "fractions")
FORMS = ("centres", "corners")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The positions of both outputs, and their values for a random picture where the network runs on one."""

    boxes: int
    scores: int
    columns: int
    box_values: Array | None
    score_values: Array | None


def find(seen: Evidence) -> Pair | None:
    """Return the two float outputs of three dimensions with as many rows, of which one is boxes; else None."""
    flat = [i for i, t in enumerate(seen.outputs) if t.dtype in _outputs.FLOATS and len(t.shape) == 3]
    if len(flat) != 2 or any(len(t.shape) < 4 for i, t in enumerate(seen.outputs) if i not in flat):
        return None
    first, second = (seen.outputs[i] for i in flat)
    if first.shape[1] != second.shape[1]:
        return None
    boxes = [i for i in flat if seen.outputs[i].shape[2] == 4]
    if len(boxes) == 2:
        boxes = [i for i in boxes if _named_boxes(seen.outputs[i])]
    if len(boxes) != 1:
        return None
    scores = flat[0] if boxes[0] == flat[1] else flat[1]
    columns = seen.outputs[scores].shape[2]
    if columns < 1:
        return None
    values = seen.samples
    return Pair(
        boxes=boxes[0],
        scores=scores,
        columns=columns,
        box_values=values[boxes[0]] if values else None,
        score_values=values[scores] if values else None,
    )


def graph(model: Model, meaning: Interpretation, boxes: str, scores: str, columns: int) -> str:
    """Boxes to pixels and to corners; the best class of each row."""
    assert meaning.layout is not None
    return f"""
      {_text.in_pixels(boxes, meaning.layout, "pixel_boxes")}
      {_text.to_corners("pixel_boxes", meaning.layout)}
      {_text.scored(scores, columns, meaning.layout, model.opset)}
    """


def decode(boxes: Array, scores: Array, meaning: Interpretation) -> Decoded:
    """Return the same in numpy."""
    from kit.heads import _arrays

    assert meaning.layout is not None
    best, best_class = _arrays.scored(_arrays.floats(scores), meaning.layout)
    pixels = _arrays.in_pixels(_arrays.floats(boxes), meaning.layout)
    return Decoded(corners=_arrays.to_corners(pixels, meaning.layout), best=best, best_class=best_class)


def columns(meaning: Interpretation) -> int:
    """Return how many columns of scores there are, that of background included."""
    assert meaning.layout is not None
    background = {"background-first", "background-last"} & set(meaning.layout.words)
    return (meaning.class_count or 0) + len(background)


def unit(values: Array | None, asked: tuple[str, ...], usual: str) -> str:
    """Return whether boxes are fractions of the frame or pixels: as asked, else by their values."""
    from kit.heads import _arrays

    if said := next((word for word in asked if word in UNITS), None):
        return said
    if values is None or not values.size:
        return usual
    return "fractions" if _arrays.fractions(values) else "pixels"


def form(values: Array | None, asked: tuple[str, ...], made_by: str = "") -> str | None:
    """Return whether boxes are centres and sizes or corners: as asked, else by their values; None for neither.

    What a sigmoid makes are centres and sizes: corners of it would be in no order.
    """
    from kit.heads import _arrays

    if said := next((word for word in asked if word in FORMS), None):
        return said
    if made_by == "Sigmoid":
        return "centres"
    seen = None if values is None else _arrays.centred(values)
    return None if seen is None else ("centres" if seen else "corners")


def say(words: tuple[str, ...]) -> str:
    """Return what boxes are, for messages."""
    form = "centres and sizes" if "centres" in words else "corners"
    return f"{form} in fractions of the frame" if "fractions" in words else f"{form} in pixels"


def _named_boxes(tensor: Tensor) -> bool:
    return any(word in tensor.name.lower() for word in ("box", "dets", "loc"))
