"""What every detector does with the corners, scores and classes that its head gives: choose, and fill fixed rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from string import Template

from kit import heads
from kit.heads.interface import DetectorHead, Reading
from kit.tasks.interface import Arrays, Head
from kit.types import DataType, Interpretation, Layout, Model, Tensor, Thresholds

INNER = ("corners", "best")
OUTPUTS = ("num", "boxes", "scores", "classes")

_MOST_CANDIDATES = 1000
"""Anchors that go into NMS, best first: its cost grows with their square, and a camera frame has far fewer objects."""

_ELEMENTS = {DataType.FP32: "float", DataType.FP16: "float16", DataType.INT32: "int32", DataType.INT64: "int64"}

_GRAPH = Template("""
<ir_version: $ir_version, opset_import: ["": $opset]>
$task ($inputs) =>
  (int32[$batch, 1] num, float[$batch, $most, 4] boxes,
   float[$batch, $most] scores, int32[$batch, $most] classes$more_outputs)
{
  $casts
  $head
  $padding
  $choice
  present = Greater (row_score, zero)
  present_column = Unsqueeze (present, axis_last)
  box_or_zero = Where (present_column, row_box, zero)
  none = Constant <value = int64 {-1}> ()
  class_or_none = Where (present, row_class, none)
  present_int = Cast <to = 6> (present)
  axis_row = Constant <value = int64[1] {1}> ()
  num = ReduceSum <keepdims = 1> (present_int, axis_row)
  class_int = Cast <to = 6> (class_or_none)
  $extras
  boxes = Identity (box_or_zero)
  scores = Identity (row_score)
  classes = Identity (class_int)
  $more
}
""")

_NMS = Template("""
  k = Constant <value = int64[1] {$candidates}> ()
  candidate_score, candidate = TopK <axis = 1, largest = 1, sorted = 1> ($best, k)
  candidate_class = GatherElements <axis = 1> ($best_class, candidate)
  axis_last = Constant <value = int64[1] {2}> ()
  candidate_column = Unsqueeze (candidate, axis_last)
  candidate_box = GatherND <batch_dims = 1> ($corners, candidate_column)

  axis_class = Constant <value = int64[1] {1}> ()
  score_row = Unsqueeze (candidate_score, axis_class)
  class_row = Unsqueeze (candidate_class, axis_class)
  class_index = Constant <value = int64[1, $classes, 1] {$class_indices}> ()
  is_class = Equal (class_row, class_index)
  zero = Constant <value = float {0}> ()
  score_per_class = Where (is_class, score_row, zero)
  most = Constant <value = int64 {$rows}> ()
  iou = Constant <value = float {$iou}> ()
  least = Constant <value = float {$score}> ()
  selected = NonMaxSuppression (candidate_box, score_per_class, most, iou, least)

  frame_and_candidate = Constant <value = int64[2] {0, 2}> ()
  survivor = Gather <axis = 1> (selected, frame_and_candidate)
  survivor_score = GatherND (candidate_score, survivor)
  nothing = Mul (candidate_score, zero)
  sparse_score = ScatterND (nothing, survivor, survivor_score)
  row_count = Constant <value = int64[1] {$rows}> ()
  row_score, row = TopK <axis = 1, largest = 1, sorted = 1> (sparse_score, row_count)
  row_class = GatherElements <axis = 1> (candidate_class, row)
  row_column = Unsqueeze (row, axis_last)
  row_box = GatherND <batch_dims = 1> (candidate_box, row_column)
""")

_NO_NMS = Template("""
  row_count = Constant <value = int64[1] {$rows}> ()
  best_score, row = TopK <axis = 1, largest = 1, sorted = 1> ($best, row_count)
  least = Constant <value = float {$score}> ()
  zero = Constant <value = float {0}> ()
  above = Greater (best_score, least)
  row_score = Where (above, best_score, zero)
  row_class = GatherElements <axis = 1> ($best_class, row)
  axis_last = Constant <value = int64[1] {2}> ()
  row_column = Unsqueeze (row, axis_last)
  row_box = GatherND <batch_dims = 1> ($corners, row_column)
""")

# A picture of any size has any number of anchors: empty ones make sure that there are enough to choose from.
_PADDING = Template("""
  pad_1 = Constant <value = int64[4] {0, 0, 0, $count}> ()
  pad_2 = Constant <value = int64[6] {0, 0, 0, 0, $count, 0}> ()
  corners_padded = Pad (corners, pad_2)
  best_padded = Pad (best, pad_1)
  best_class_padded = Pad (best_class, pad_1)
""")


def recognise(model: Model, fits: Callable[[Reading], bool]) -> Head | None:
    """Return the surest head whose reading ``fits`` the task; None where there is none."""
    return _as_head(heads.recognise(model, fits))


def recognise_as(model: Model, text: str, fits: Callable[[Reading], bool]) -> Head | None:
    """Return the head that the user names, where its reading ``fits``. Raises ``UnknownHeadError``."""
    return _as_head(heads.recognise_as(model, text, fits))


def graph(model: Model, meaning: Interpretation, task: str, more_outputs: str = "", more: str = "") -> str:
    """Return the head's decoding, the choice and the rows; ``more`` makes ``more_outputs`` of ``row_extras``."""
    layout, limits, head = _layout(meaning), _limits(meaning), heads.get(meaning.head)
    read = [model.signature.outputs[index] for index in layout.outputs]
    anchors = _anchors(model, meaning)
    padding = _candidates(-1, limits) if anchors == -1 else max(0, limits.max_detections - anchors)
    suffix = "_padded" if padding else ""
    names = {name: f"{name}{suffix}" for name in ("corners", "best", "best_class")}
    choice = _choice(meaning, head, _candidates(anchors, limits), names)
    return _GRAPH.substitute(
        ir_version=model.ir_version, opset=model.opset, task=task,
        batch=batch(model, meaning), most=limits.max_detections,
        inputs=", ".join(_declaration(t, i) for i, t in enumerate(read)),
        casts="\n".join(f"raw{i} = Cast <to = 1> (half{i})" for i, t in enumerate(read) if t.dtype is DataType.FP16),
        head=head.graph(model, meaning),
        padding=_PADDING.substitute(count=padding) if padding else "",
        choice=choice, extras=_row_extras(layout, head, padding), more_outputs=more_outputs, more=more,
    )  # fmt: skip


def batch(model: Model, meaning: Interpretation) -> str:
    """Return the batch dimension of every output: of a model that takes one picture and gives it none, 1."""
    first = model.signature.outputs[_layout(meaning).outputs[0]].shape
    if len(first) < 3:
        return "1"
    return "batch" if first[0] == -1 else str(first[0])


def reference(raw: Arrays, meaning: Interpretation) -> Arrays:
    """Do the same in numpy: ``INNER`` and the rows, and ``extras`` [N, M, E] of these where the layout has some.

    What is chosen is chosen by the graph's own corners and scores where ``raw`` has them, so that a rounding error in
    decoding, which is compared apart, moves no box over a threshold.
    """
    from kit.tasks import _suppression

    layout, limits, head = _layout(meaning), _limits(meaning), heads.get(meaning.head)
    outputs = tuple(raw.values())
    own = head.decode(tuple(outputs[index] for index in layout.outputs), meaning)
    used = replace(own, corners=raw.get("corners", own.corners), best=raw.get("best", own.best))
    candidates = _candidates(own.best.shape[1], limits) if head.suppress else None
    return {"corners": own.corners, "best": own.best, **_suppression.frames(used, limits, candidates)}


def _as_head(found: tuple[DetectorHead, Reading] | None) -> Head | None:
    if found is None:
        return None
    head, reading = found
    return Head(
        name=head.name,
        class_count=reading.class_count,
        reason=reading.reason,
        certainty=reading.certainty,
        layout=reading.layout,
        rivals=reading.rivals,
        normalization=reading.normalization,
        color=reading.color,
    )


def _declaration(tensor: Tensor, index: int) -> str:
    """Return an input of the graph: its type, its shape, and its name by position."""
    names = ("batch", *(f"free{index}_{axis}" for axis in range(1, 5)))
    sizes = ", ".join(names[axis] if size == -1 else str(size) for axis, size in enumerate(tensor.shape))
    name = f"half{index}" if tensor.dtype is DataType.FP16 else f"raw{index}"
    return f"{_ELEMENTS[tensor.dtype]}[{sizes}] {name}"


def _choice(meaning: Interpretation, head: DetectorHead, candidates: int, names: dict[str, str]) -> str:
    limits, rows = _limits(meaning), _limits(meaning).max_detections
    if not head.suppress:
        return _NO_NMS.substitute(names, rows=rows, score=repr(limits.score))
    assert meaning.class_count is not None
    indices = ", ".join(str(index) for index in range(meaning.class_count))
    return _NMS.substitute(
        names, rows=rows, score=repr(limits.score), iou=repr(limits.iou), candidates=candidates,
        classes=meaning.class_count, class_indices=indices,
    )  # fmt: skip


def _row_extras(layout: Layout, head: DetectorHead, padding: int) -> str:
    """Return ``row_extras`` [N, M, E]: those of the rows' own anchors."""
    if not layout.extras:
        return ""
    anchor = "anchor = GatherElements <axis = 1> (candidate, row)" if head.suppress else "anchor = Identity (row)"
    name, pad = ("extras_padded", "extras_padded = Pad (extras, pad_2)") if padding else ("extras", "")
    return f"""
      {anchor}
      {pad}
      anchor_column = Unsqueeze (anchor, axis_last)
      anchor_extras = GatherND <batch_dims = 1> ({name}, anchor_column)
      row_extras = Where (present_column, anchor_extras, zero)
    """


def _anchors(model: Model, meaning: Interpretation) -> int:
    """Return how many anchors there are; -1 where that depends on the picture."""
    layout = _layout(meaning)
    return model.signature.outputs[layout.outputs[0]].shape[heads.get(meaning.head).anchor_axis(layout)]


def _candidates(anchors: int, limits: Thresholds) -> int:
    wanted = max(_MOST_CANDIDATES, limits.max_detections)
    return wanted if anchors == -1 else min(max(anchors, limits.max_detections), wanted)


def _layout(meaning: Interpretation) -> Layout:
    return meaning.layout or Layout()


def _limits(meaning: Interpretation) -> Thresholds:
    assert meaning.thresholds is not None
    return meaning.thresholds
