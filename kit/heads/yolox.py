"""YOLOX: one output [N, A, 5 + C], a row for each cell of the grids of strides 8, 16 and 32 pixels.

As it is exported by default, a row is the offset from the cell's corner and the logarithm of the size, both in
strides, then objectness and C probabilities; with ``decode_in_inference`` it is in pixels. Pixels go in from 0 to 255,
BGR. Source: yolox/models/yolo_head.py and tools/export_onnx.py of https://github.com/Megvii-BaseDetection/YOLOX
"""

from __future__ import annotations

from kit.evidence import Evidence
from kit.heads import _objectness, _outputs
from kit.heads.interface import Array, Decoded, Reading
from kit.types import Certainty, Interpretation, Layout, Model, Normalization, Tensor

_STRIDES_PX = (8, 16, 32)


class Yolox:
    """Rows with objectness, one for each cell."""

    name = "yolox"
    suppress = True
    words = (("raw-grid", "decoded"),)

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """By one anchor for each cell, and boxes that are no pixels, or sizes that are powers."""
        rows = _objectness.rows(seen)
        if rows is None:
            return None
        certainty, word, why = _asked(seen, asked) if asked is not None else _seen(seen, rows)
        if certainty is None or (word == "raw-grid" and not _fits_the_grid(seen, rows)):
            return None
        classes = rows.shape[2] - _objectness.BEFORE_CLASSES
        shape = f"one output [N, {_outputs.column(rows.shape[1], 'A')}, 5 + {classes}]"
        rivals = () if certainty is not Certainty.UNSURE else ("yolox,raw-grid", "yolox,decoded", "yolov5")
        return Reading(
            layout=Layout(frame=seen.frame, words=(word,)), class_count=classes, certainty=certainty,
            reason=f"{shape} as YOLOX has: {why}{_outputs.ignored(seen, (0,))}", rivals=rivals,
            normalization=Normalization(scale=1.0), color="bgr",
        )  # fmt: skip

    def anchor_axis(self, layout: Layout) -> int:  # noqa: ARG002
        """The first after the batch."""
        return 1

    def expects(self) -> str:
        """One output, cells first."""
        return "one float output [N, cells, 5 + classes]"

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """Add the grid, raise the sizes, multiply by the strides; decoded boxes as they are."""
        layout = meaning.layout or Layout()
        if "decoded" in layout.words:
            boxes = "centre = Identity (xy)\n size = Identity (wh)"
        else:
            cells = _grid(layout)
            offsets = ", ".join(f"{x}, {y}" for x, y, _ in cells)
            strides = ", ".join(str(stride) for _, _, stride in cells)
            boxes = f"""grid = Constant <value = float[1, {len(cells)}, 2] {{{offsets}}}> ()
              stride = Constant <value = float[1, {len(cells)}, 1] {{{strides}}}> ()
              in_strides = Add (xy, grid)
              centre = Mul (in_strides, stride)
              powers = Exp (wh)
              size = Mul (powers, stride)"""
        return _objectness.graph(meaning.class_count or 0, boxes, model)

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """The same in numpy."""
        import numpy as np

        from kit.heads import _arrays

        layout, rows = meaning.layout or Layout(), _arrays.floats(raw[0])
        xy, wh = rows[..., :2], rows[..., 2:4]
        if "decoded" not in layout.words:
            cells = np.array(_grid(layout), np.float32)
            with np.errstate(over="ignore"):  # as the graph has it
                xy, wh = (xy + cells[:, :2]) * cells[:, 2:], np.exp(wh) * cells[:, 2:]
        return _objectness.decode(raw[0], xy, wh, meaning)


def _grid(layout: Layout) -> list[tuple[int, int, int]]:
    """Return x, y (in strides) and stride (in pixels) of each cell, finest grid first, row by row."""
    assert layout.frame is not None
    height, width = layout.frame
    return [(x, y, s) for s in _STRIDES_PX for y in range(height // s) for x in range(width // s)]


def _fits_the_grid(seen: Evidence, rows: Tensor) -> bool:
    return seen.frame is not None and rows.shape[1] in (-1, _objectness.cells(seen.frame))


def _asked(seen: Evidence, asked: tuple[str, ...]) -> tuple[Certainty | None, str, str]:
    """Return what the user says; the word that is not said is looked for."""
    if asked:
        return Certainty.CERTAIN, asked[0], "as you say"
    return Certainty.CERTAIN, "decoded" if _decoded(seen) else "raw-grid", "as you say"


def _seen(seen: Evidence, rows: Tensor) -> tuple[Certainty | None, str, str]:
    from kit.heads import _arrays

    nothing = (None, "", "")
    if not _objectness.tall(rows) or seen.samples is None or _objectness.per_cell(seen) != 1:
        return nothing
    if not _arrays.probable(seen.samples[0][..., _objectness.BOX :]):
        return nothing
    if _decoded(seen):
        if "Exp" not in seen.operators(0):
            return nothing
        return Certainty.LIKELY, "decoded", "one anchor for each cell, sizes are powers, its values are pixels"
    if seen.samples[0][..., : _objectness.BOX].min() < 0:
        return Certainty.CERTAIN, "raw-grid", "one anchor for each cell, offsets and logarithms of sizes"
    return Certainty.UNSURE, "raw-grid", "one anchor for each cell"


def _decoded(seen: Evidence) -> bool:
    from kit.heads import _arrays

    if seen.samples is None or seen.sampled_frame is None:
        return False
    values = seen.samples[0]
    return _arrays.spread(values[..., :2], values[..., 2 : _objectness.BOX], seen.sampled_frame)


MEMBER = Yolox()
