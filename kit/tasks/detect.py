"""Objects in a picture: a fixed number of rows, of which the first ``num`` are detections.

The served contract, for N frames and ``max_detections`` = M:

    num      [N, 1]     INT32  how many rows are detections
    boxes    [N, M, 4]  FP32   x1, y1, x2, y2 in pixels of the input frame
    scores   [N, M]     FP32   in falling order; 0 in the rows after ``num``
    classes  [N, M]     INT32  from 0; -1 in the rows after ``num``

NMS is class-aware: boxes of different classes never suppress each other. An anchor gives at most its best class.
The graph uses standard ONNX operators only, so that every runtime takes it.
"""

from __future__ import annotations

from string import Template

from kit.tasks.interface import Arrays, Head
from kit.types import DataType, Interpretation, Model, Normalization, Thresholds

_BOX = 4
_MOST_CANDIDATES = 1000
"""Anchors that go into NMS, best first: its cost grows with their square, and a camera frame has far fewer objects."""

_REDUCE_AXES_ARE_INPUTS = 18
"""Since this opset ReduceMax takes its axes as an input: https://onnx.ai/onnx/operators/onnx__ReduceMax.html"""


_GRAPH = Template("""
<ir_version: $ir_version, opset_import: ["": $opset]>
detect (float[batch, $channels, $anchors] raw) =>
  (int32[batch, 1] num, float[batch, $most, 4] boxes,
   float[batch, $most] scores, int32[batch, $most] classes)
{
  parts = Constant <value = int64[3] {2, 2, $classes}> ()
  $padding
  centre, size, probabilities = Split <axis = 1> ($head, parts)
  half_factor = Constant <value = float {0.5}> ()
  half = Mul (size, half_factor)
  low = Sub (centre, half)
  high = Add (centre, half)
  corner_rows = Concat <axis = 1> (low, high)
  corners = Transpose <perm = [0, 2, 1]> (corner_rows)

  $best
  best_class = ArgMax <axis = 1, keepdims = 0> (probabilities)
  k = Constant <value = int64[1] {$candidates}> ()
  candidate_score, candidate = TopK <axis = 1, largest = 1, sorted = 1> (best, k)
  candidate_class = GatherElements <axis = 1> (best_class, candidate)
  axis_last = Constant <value = int64[1] {2}> ()
  candidate_column = Unsqueeze (candidate, axis_last)
  candidate_box = GatherND <batch_dims = 1> (corners, candidate_column)

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

  present = Greater (row_score, zero)
  present_column = Unsqueeze (present, axis_last)
  box_or_zero = Where (present_column, row_box, zero)
  none = Constant <value = int64 {-1}> ()
  class_or_none = Where (present, row_class, none)
  present_int = Cast <to = 6> (present)
  axis_row = Constant <value = int64[1] {1}> ()
  num = ReduceSum <keepdims = 1> (present_int, axis_row)
  class_int = Cast <to = 6> (class_or_none)
  $outputs
}
""")


# A picture of any size has any number of anchors: empty ones make sure that there are enough to choose from.
_FREE_ANCHORS = Template("""
  empty_anchors = Constant <value = int64[6] {0, 0, 0, 0, 0, $candidates}> ()
  padded = Pad (raw, empty_anchors)
""")


class Detect:
    """YOLOv8 and YOLO11 heads: one output [N, 4 + C, A] of cx, cy, w, h in input pixels and C probabilities."""

    name = "detect"
    rank = 10
    frames = True
    normalization = Normalization()
    labelled = "classes"

    def recognise(self, model: Model) -> Head | None:
        """One float output of three dimensions with many more anchors than channels."""
        outputs = model.signature.outputs
        if len(outputs) != 1 or outputs[0].dtype is not DataType.FP32 or len(outputs[0].shape) != 3:
            return None
        _, channels, anchors = outputs[0].shape
        if channels <= _BOX or (anchors != -1 and anchors <= channels):
            return None
        classes = channels - _BOX
        return Head(
            name="yolov8",
            class_count=classes,
            reason=f"one output [N, 4 + {classes}, {anchors if anchors != -1 else 'A'}] as YOLOv8 and YOLO11 have",
        )

    def expects(self) -> str:
        """One output of boxes and class scores."""
        return "one FP32 output [N, 4 + classes, anchors]"

    def thresholds(self, asked: Thresholds) -> Thresholds:
        """All of them are used."""
        return asked

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """Best class per anchor, best anchors, NMS per class, and the survivors sorted into fixed rows."""
        assert meaning.thresholds is not None
        assert meaning.class_count is not None
        limits, classes = meaning.thresholds, meaning.class_count
        anchors = model.signature.outputs[0].shape[2]
        candidates = _candidates(anchors, limits)
        rows = min(limits.max_detections, candidates)
        if model.opset >= _REDUCE_AXES_ARE_INPUTS:
            best = """axis_1 = Constant <value = int64[1] {1}> ()
              best = ReduceMax <keepdims = 0> (probabilities, axis_1)"""
        else:
            best = "best = ReduceMax <axes = [1], keepdims = 0> (probabilities)"
        return _GRAPH.substitute(
            ir_version=model.ir_version,
            opset=model.opset,
            channels=_BOX + classes,
            anchors=anchors if anchors != -1 else "anchors",
            most=limits.max_detections,
            classes=classes,
            padding=_FREE_ANCHORS.substitute(candidates=candidates) if anchors == -1 else "",
            head="padded" if anchors == -1 else "raw",
            best=best,
            candidates=candidates,
            class_indices=", ".join(str(index) for index in range(classes)),
            rows=rows,
            iou=repr(limits.iou),
            score=repr(limits.score),
            outputs=_outputs(limits.max_detections - rows),
        )

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Greedy NMS, one class and one box at a time."""
        from kit.tasks import _suppression

        assert meaning.thresholds is not None
        (head,) = raw.values()
        return _suppression.frames(head, meaning.thresholds, _candidates(head.shape[2], meaning.thresholds))


def _candidates(anchors: int, limits: Thresholds) -> int:
    wanted = max(_MOST_CANDIDATES, limits.max_detections)
    return wanted if anchors == -1 else min(anchors, wanted)


def _outputs(padding: int) -> str:
    """Name the outputs; a network with fewer anchors than ``max_detections`` gets empty rows added."""
    if not padding:
        return "boxes = Identity (box_or_zero)\n scores = Identity (row_score)\n classes = Identity (class_int)"
    return f"""
        pad_2 = Constant <value = int64[4] {{0, 0, 0, {padding}}}> ()
        pad_3 = Constant <value = int64[6] {{0, 0, 0, 0, {padding}, 0}}> ()
        no_class = Constant <value = int32 {{-1}}> ()
        boxes = Pad (box_or_zero, pad_3)
        scores = Pad (row_score, pad_2)
        classes = Pad (class_int, pad_2, no_class)
    """


MEMBER = Detect()
