"""Rows [N, A, 5 + C] of box, objectness and class probabilities, which YOLOv5 and YOLOX share."""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _outputs, _text
from kit.heads.interface import Array, Decoded
from kit.types import Interpretation, Model, Tensor

BOX = 4
BEFORE_CLASSES = 5


def rows(seen: Evidence) -> Tensor | None:
    """Return the output where it is [N, A, 5 + C]; else None."""
    found = _outputs.only_rows(seen, 2)
    if found is None or found.shape[2] <= BEFORE_CLASSES or _outputs.other_task(seen):
        return None
    return found


def tall(found: Tensor) -> bool:
    """Tell whether there are more rows than columns, as there are of anchors."""
    return found.shape[1] == -1 or found.shape[1] > found.shape[2]


def cells(size: tuple[int, int]) -> int:
    """Return how many cells the grids of strides 8, 16 and 32 pixels have on a picture (height, width)."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in (8, 16, 32))


def per_cell(seen: Evidence) -> int | None:
    """Return how many anchors there are for each cell: 3 in YOLOv5 and YOLOv7, 1 in YOLOX; None for neither."""
    size = seen.sampled_frame
    if size is None or seen.samples is None or cells(size) == 0:
        return None
    anchors = seen.samples[0].shape[1]
    return next((count for count in (1, 3) if anchors == count * cells(size)), None)


def graph(classes: int, boxes: str, model: Model) -> str:
    """Split the rows, let ``boxes`` make ``centre`` and ``size`` of ``xy`` and ``wh``; best class times objectness."""
    return f"""
      {_text.split("raw0", 2, {"xy": 2, "wh": 2, "objectness_column": 1, "class_scores": classes})}
      {boxes}
      {_text.corner_rows(2, "corners")}
      {_text.best("class_scores", 2, model.opset, "best_score")}
      axis_objectness = Constant <value = int64[1] {{2}}> ()
      objectness = Squeeze (objectness_column, axis_objectness)
      best = Mul (objectness, best_score)
    """


def decode(raw: Array, centre: Array, size: Array, meaning: Interpretation) -> Decoded:  # noqa: ARG001
    """Return the same in numpy for centres and sizes in pixels."""
    from kit.heads import _arrays

    values = _arrays.floats(raw)
    scores = values[..., BEFORE_CLASSES:]
    return Decoded(
        corners=_arrays.from_centres(_arrays.floats(centre), _arrays.floats(size)),
        best=values[..., BOX] * scores.max(axis=2),
        best_class=scores.argmax(axis=2),
    )
