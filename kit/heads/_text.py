"""Statements that several heads' graphs share, in ONNX's text form."""

from __future__ import annotations

from kit.types import Layout

_REDUCE_AXES_ARE_INPUTS = 18
"""Since this opset ReduceMax takes its axes as an input: https://onnx.ai/onnx/operators/onnx__ReduceMax.html"""


def best(scores: str, axis: int, opset: int, result: str = "best") -> str:
    """The largest of ``scores`` along ``axis``, and its index as ``best_class``."""
    if opset >= _REDUCE_AXES_ARE_INPUTS:
        largest = f"""axis_{axis} = Constant <value = int64[1] {{{axis}}}> ()
              {result} = ReduceMax <keepdims = 0> ({scores}, axis_{axis})"""
    else:
        largest = f"{result} = ReduceMax <axes = [{axis}], keepdims = 0> ({scores})"
    return f"""{largest}
      best_class = ArgMax <axis = {axis}, keepdims = 0> ({scores})"""


def corner_rows(axis: int, result: str) -> str:
    """The corners of boxes that are ``centre`` and ``size``, side by side along ``axis``."""
    return f"""half_factor = Constant <value = float {{0.5}}> ()
      half = Mul (size, half_factor)
      low = Sub (centre, half)
      high = Add (centre, half)
      {result} = Concat <axis = {axis}> (low, high)"""


def split(tensor: str, axis: int, parts: dict[str, int]) -> str:
    """Parts of ``tensor`` along ``axis``, by name and size; those of size 0 are left out."""
    kept = {name: size for name, size in parts.items() if size}
    sizes = ", ".join(str(size) for size in kept.values())
    return f"""parts = Constant <value = int64[{len(kept)}] {{{sizes}}}> ()
      {", ".join(kept)} = Split <axis = {axis}> ({tensor}, parts)"""


def in_pixels(boxes: str, layout: Layout, result: str) -> str:
    """Boxes [N, A, 4] of fractions of the frame as pixels; pixels as they are."""
    if "fractions" not in layout.words or layout.frame is None:
        return f"{result} = Identity ({boxes})"
    height, width = (f"{float(side)!r}" for side in layout.frame)
    return f"""frame = Constant <value = float[1, 1, 4] {{{width}, {height}, {width}, {height}}}> ()
      {result} = Mul ({boxes}, frame)"""


def to_corners(boxes: str, layout: Layout) -> str:
    """``corners`` of boxes [N, A, 4] in pixels that are centres and sizes, or corners."""
    if "corners" in layout.words:
        return f"corners = Identity ({boxes})"
    return f"""box_parts = Constant <value = int64[2] {{2, 2}}> ()
      centre, size = Split <axis = 2> ({boxes}, box_parts)
      {corner_rows(2, "corners")}"""


def scored(scores: str, columns: int, layout: Layout, opset: int) -> str:
    """``best`` and ``best_class`` of scores [N, A, columns]: probabilities, or logits of either kind; no background.

    The class is chosen before a sigmoid, which keeps the order and rounds: where two logits are different, so are
    their classes.
    """
    steps, last = [], scores
    if "softmax" in layout.words:
        steps, last = [f"chances = Softmax <axis = 2> ({last})"], "chances"
    first, end = foreground(columns, layout)
    if (first, end) != (0, columns):
        steps.append(f"""from_class = Constant <value = int64[1] {{{first}}}> ()
          to_class = Constant <value = int64[1] {{{end}}}> ()
          class_axis = Constant <value = int64[1] {{2}}> ()
          objects = Slice ({last}, from_class, to_class, class_axis)""")
        last = "objects"
    if "sigmoid" in layout.words:
        return "\n".join([*steps, best(last, 2, opset, "best_logit"), "best = Sigmoid (best_logit)"])
    return "\n".join([*steps, best(last, 2, opset)])


def foreground(columns: int, layout: Layout) -> tuple[int, int]:
    """Return the first column of scores that is an object's, and the one after the last."""
    return int("background-first" in layout.words), columns - int("background-last" in layout.words)
