"""Objects with masks (instance segmentation): the rows of ``detect``, and a mask of each.

The served contract, for N frames and ``max_detections`` = M, is that of ``kit.tasks.detect`` and:

    masks  [N, M, h, w]  UINT8  1 where the object is, 0 elsewhere and after ``num``

h and w are those of the network's prototypes, a quarter of the frame's in YOLO: a client scales a mask as it scales the
boxes. A mask is a mix of the prototypes, cut to the object's box, where its sigmoid is above 0.5 (YOLACT,
arXiv:1904.02689).
"""

from __future__ import annotations

from kit.heads.interface import Reading
from kit.tasks import _detections
from kit.tasks.interface import Arrays, Head
from kit.types import Interpretation, Model, Normalization, Thresholds

_PROTOTYPE_STRIDE = 4
"""Pixels of a frame of free size to one of its prototypes, in every YOLO."""


class Instances:
    """Boxes with scores, classes and masks, of YOLO's heads."""

    name = "instances"
    rank = 9
    frames = True
    normalization = Normalization()
    labelled = "classes"
    inner = (*_detections.INNER, "mask_logits")

    def recognise(self, model: Model) -> Head | None:
        """Rows with coefficients behind the classes, and an output of prototypes."""
        return _detections.recognise(model, _fits)

    def recognise_as(self, model: Model, head: str) -> Head | None:
        """The head that was asked for. Raises ``UnknownHeadError``."""
        return _detections.recognise_as(model, head, _fits)

    def expects(self) -> str:
        """Two outputs, as Ultralytics' segmentation models have."""
        return "float outputs [N, 4 + classes + coefficients, anchors] and [N, coefficients, h, w]"

    def thresholds(self, asked: Thresholds) -> Thresholds:
        """All of them are used."""
        return asked

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """What ``detect`` does, and each row's mask."""
        assert meaning.layout is not None
        assert meaning.thresholds is not None
        most, extras = meaning.thresholds.max_detections, meaning.layout.extras
        _, _, height, width = model.signature.outputs[meaning.layout.outputs[1]].shape
        fixed = height > 0 and width > 0
        size = f"{height}, {width}" if fixed else "mask_height, mask_width"
        x, y = _ratios(meaning, (height, width))
        text = f"""
          flat_shape = Constant <value = int64[3] {{0, {extras}, -1}}> ()
          flat = Reshape (raw1, flat_shape)
          flat_logits = MatMul (row_extras, flat)
          {_sizes(most, height, width) if fixed else _free_sizes(most)}
          mask_logits = Reshape (flat_logits, mask_shape)
          to_masks = Constant <value = float[1, 1, 4] {{{x!r}, {y!r}, {x!r}, {y!r}}}> ()
          mask_boxes = Mul (row_box, to_masks)
          mask_boxes_axis = Constant <value = int64[1] {{3}}> ()
          mask_boxes_column = Unsqueeze (mask_boxes, mask_boxes_axis)
          sides = Constant <value = int64[4] {{1, 1, 1, 1}}> ()
          left, top, right, bottom = Split <axis = 2> (mask_boxes_column, sides)
          after_left = GreaterOrEqual (mask_x, left)
          before_right = Less (mask_x, right)
          below_top = GreaterOrEqual (mask_y, top)
          above_bottom = Less (mask_y, bottom)
          across = And (after_left, before_right)
          down = And (below_top, above_bottom)
          inside = And (across, down)
          lit = Greater (mask_logits, zero)
          present_4 = Unsqueeze (present_column, mask_boxes_axis)
          seen = And (lit, inside)
          mask = And (seen, present_4)
          masks = Cast <to = 2> (mask)
        """
        output = f", uint8[{_detections.batch(model, meaning)}, {most}, {size}] masks"
        return _detections.graph(model, meaning, self.name, output, text)

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """The masks of the kept boxes, one pixel at a time."""
        import numpy as np

        assert meaning.layout is not None
        found = _detections.reference(raw, meaning)
        prototypes = tuple(raw.values())[meaning.layout.outputs[1]].astype(np.float32)
        height, width = prototypes.shape[2:]
        extras = found.pop("extras").astype(np.float32)
        logits = (extras @ prototypes.reshape(*prototypes.shape[:2], -1)).reshape(*extras.shape[:2], height, width)
        x, y = _ratios(meaning, (height, width))
        left, top, right, bottom = (
            side[..., None, None] for side in np.moveaxis(found["boxes"] * np.array([x, y, x, y], np.float32), 2, 0)
        )
        across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        inside = (across >= left) & (across < right) & (down >= top) & (down < bottom)
        lit = raw.get("mask_logits", logits).astype(np.float32) > 0
        masks = lit & inside & (found["classes"] != -1)[..., None, None]
        return {**found, "mask_logits": logits, "masks": masks.astype(np.uint8)}


def _ratios(meaning: Interpretation, size: tuple[int, int]) -> tuple[float, float]:
    """Return how many of the prototypes' pixels there are to one of the frame, across and down."""
    frame = meaning.layout.frame if meaning.layout else None
    if frame is None or min(size) < 1:
        return 1 / _PROTOTYPE_STRIDE, 1 / _PROTOTYPE_STRIDE
    return size[1] / frame[1], size[0] / frame[0]


def _sizes(most: int, height: int, width: int) -> str:
    """Masks of a size that is known: their shape, and the position of each column and row."""
    columns, rows = (", ".join(str(position) for position in range(size)) for size in (width, height))
    return f"""mask_shape = Constant <value = int64[4] {{0, {most}, {height}, {width}}}> ()
          mask_x = Constant <value = float[1, 1, {width}] {{{columns}}}> ()
          mask_y = Constant <value = float[1, 1, {height}, 1] {{{rows}}}> ()"""


def _free_sizes(most: int) -> str:
    """Masks as large as the picture makes the prototypes."""
    return f"""prototype_shape = Shape (raw1)
          from_height = Constant <value = int64[1] {{2}}> ()
          to_width = Constant <value = int64[1] {{4}}> ()
          mask_size = Slice (prototype_shape, from_height, to_width)
          masks_of_frame = Constant <value = int64[2] {{0, {most}}}> ()
          mask_shape = Concat <axis = 0> (masks_of_frame, mask_size)
          at_height = Constant <value = int64 {{2}}> ()
          at_width = Constant <value = int64 {{3}}> ()
          mask_height_count = Gather (prototype_shape, at_height)
          mask_width_count = Gather (prototype_shape, at_width)
          from_0 = Constant <value = int64 {{0}}> ()
          by_1 = Constant <value = int64 {{1}}> ()
          x_index = Range (from_0, mask_width_count, by_1)
          y_index = Range (from_0, mask_height_count, by_1)
          mask_x = Cast <to = 1> (x_index)
          y_float = Cast <to = 1> (y_index)
          y_axis = Constant <value = int64[1] {{1}}> ()
          mask_y = Unsqueeze (y_float, y_axis)"""


def _fits(reading: Reading) -> bool:
    return bool(reading.layout.extras) and reading.layout.keypoints is None


MEMBER = Instances()
