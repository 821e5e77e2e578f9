"""A served graph as TensorRT takes it: the same answers, from operators that it has kernels of a fixed size for.

Two things differ from what ONNX Runtime is given:

* UINT8 is a type of TensorRT's inputs and outputs only, nothing computes in it ("UINT8 is only supported as network
  input or output tensor types", onnx-tensorrt's docs/operators.md). Frames become FP32 before they are turned, not
  after.
* ``NonMaxSuppression`` gives as many rows as there are objects. Sizes that depend on data cost TensorRT a
  synchronisation and memory for the worst case (TensorRT#4248: NMS is three quarters of the time), and TensorRT-RTX has
  no kernel for it. The same choice is made by a fixed number of products of matrices, below.

Greedy NMS keeps a box unless a better one of its class that is *kept* overlaps it. With ``blocks[i, j]`` = "i is better
than j, of its class, and overlaps it", the kept boxes are the one solution of

    kept[j] = alive[j] and not any(kept[i] and blocks[i, j])

and putting a guess into the right side ``n`` times gives the right answer for every box whose longest chain of boxes
that suppress each other is at most ``n`` long: a box at the end of a chain of k is settled once its k - 1 predecessors
are (Cluster-NMS, arXiv:2005.03572, section 3.2, proves it). ``ROUNDS`` is more than any crowd was seen to need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

ROUNDS = 16
"""Longest chain of boxes that is followed: 1,000 random boxes around one object had 11, those of a crowd 7.

It is even, so that what a longer chain would leave is a box too many, not one too few.
"""

_MOVES = frozenset({"Identity", "Transpose", "Gather", "Squeeze", "Unsqueeze", "Reshape", "Flatten"})
"""Operators that only move a tensor's numbers, so that a change of type may come before as well as after."""

_SUPPRESSION = """
<ir_version: {ir_version}, opset_import: ["": {opset}]>
suppression (float[batch, {count}, 4] box, float[batch, {count}] score, int64[batch, {count}] kind,
             float iou, float least) => (float[batch, {count}] kept_score)
{{
  zero = Constant <value = float {{0}}> ()
  half = Constant <value = float {{0.5}}> ()
  tiny = Constant <value = float {{1e-30}}> ()
  axis_1 = Constant <value = int64[1] {{1}}> ()
  axis_2 = Constant <value = int64[1] {{2}}> ()

  corner_a, corner_b = Split <axis = 2{two_parts}> (box)
  low = Min (corner_a, corner_b)
  high = Max (corner_a, corner_b)
  side = Sub (high, low)
  side_x, side_y = Split <axis = 2{two_parts}> (side)
  area = Mul (side_x, side_y)
  low_column = Unsqueeze (low, axis_2)
  low_row = Unsqueeze (low, axis_1)
  high_column = Unsqueeze (high, axis_2)
  high_row = Unsqueeze (high, axis_1)
  shared_low = Max (low_column, low_row)
  shared_high = Min (high_column, high_row)
  shared_side = Sub (shared_high, shared_low)
  shared_real = Max (shared_side, zero)
  axis_3 = Constant <value = int64[1] {{3}}> ()
  shared_x, shared_y = Split <axis = 3{two_parts}> (shared_real)
  shared_4 = Mul (shared_x, shared_y)
  shared = Squeeze (shared_4, axis_3)
  area_row = Transpose <perm = [0, 2, 1]> (area)
  areas = Add (area, area_row)
  whole = Sub (areas, shared)
  whole_real = Max (whole, tiny)
  ratio = Div (shared, whole_real)
  overlaps = Greater (ratio, iou)

  kind_column = Unsqueeze (kind, axis_2)
  kind_row = Unsqueeze (kind, axis_1)
  of_one_kind = Equal (kind_column, kind_row)
  place_column = Constant <value = int64[1, {count}, 1] {{{places}}}> ()
  place_row = Constant <value = int64[1, 1, {count}] {{{places}}}> ()
  is_better = Less (place_column, place_row)
  rivals = And (overlaps, of_one_kind)
  blocks_bool = And (rivals, is_better)
  blocks = Cast <to = 1> (blocks_bool)

  alive_bool = Greater (score, least)
  alive_flat = Cast <to = 1> (alive_bool)
  kept_0 = Unsqueeze (alive_flat, axis_1)
  {rounds}
  kept = Squeeze (kept_{last}, axis_1)
  kept_score = Mul (score, kept)
}}
"""

_ROUND = """
  hits_{now} = MatMul (kept_{before}, blocks)
  free_bool_{now} = Less (hits_{now}, half)
  free_{now} = Cast <to = 1> (free_bool_{now})
  kept_{now} = Mul (kept_0, free_{now})
"""


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """The nodes of one task's NMS by what they give: names in the graph, without the task's prefix."""

    prefix: str

    def name(self, tensor: str) -> str:
        return f"{self.prefix}{tensor}"


def adapt(proto: onnx.ModelProto) -> None:
    """Rewrite a served graph for TensorRT, in place; a network that the kit has put nothing around is left as it is."""
    _floats_first(proto.graph)
    for choice in _choices(proto.graph):
        _suppress_in_rounds(proto, choice)


def _floats_first(graph: onnx.GraphProto) -> None:
    """Let UINT8 inputs become FP32 at once, where all that is done before they do is moving their numbers."""
    import onnx

    for value in graph.input:
        if value.type.tensor_type.elem_type != onnx.TensorProto.UINT8:
            continue
        casts, moved = _after_moves(graph, value.name)
        if casts is None or not moved:
            continue
        early = f"{value.name}/as_float"
        for node in graph.node:
            if node.input and node.input[0] == value.name:
                node.input[0] = early
        for node in casts:  # an Identity where it was a change to FP32
            if _to(node) == onnx.TensorProto.FLOAT:
                node.op_type = "Identity"
                del node.attribute[:]
        first = onnx.helper.make_node("Cast", [value.name], [early], name=early, to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, first)
        stale = [v for v in graph.value_info if v.name in moved]
        for info in stale:
            graph.value_info.remove(info)


def _after_moves(graph: onnx.GraphProto, name: str) -> tuple[list[onnx.NodeProto] | None, set[str]]:
    """Return the Casts that end the moves of a tensor and the tensors between; None where something else uses them."""
    moved, casts = {name}, []
    for node in graph.node:  # in the order in which they run
        if not moved & set(node.input):
            continue
        if node.op_type == "Cast":
            casts.append(node)
        elif node.op_type in _MOVES and node.input[0] in moved:
            moved.update(node.output)
        else:
            return None, set()
    return casts, moved - {name}


def _to(node: onnx.NodeProto) -> int:
    return next(int(a.i) for a in node.attribute if a.name == "to")


def _choices(graph: onnx.GraphProto) -> tuple[_Choice, ...]:
    """Return the choices by NMS that the kit has put behind networks: they have its names."""
    made = {name for node in graph.node for name in node.output}
    wanted = ("candidate_box", "candidate_score", "candidate_class", "iou", "least", "sparse_score")
    ends = [n.output[0] for n in graph.node if n.op_type == "NonMaxSuppression" and n.output[0].endswith("/selected")]
    choices = [_Choice(prefix=name.removesuffix("selected")) for name in ends]
    return tuple(c for c in choices if all(c.name(tensor) in made for tensor in wanted))


def _suppress_in_rounds(proto: onnx.ModelProto, choice: _Choice) -> None:
    """Make ``sparse_score``, the score of what is kept and 0 elsewhere, without NonMaxSuppression."""
    import onnx.compose

    graph = proto.graph
    inner = onnx.parser.parse_model(_text(proto, _count(graph, choice)))
    inner = onnx.compose.add_prefix(inner, choice.name("rounds/"))
    given = dict(
        zip(
            (value.name for value in inner.graph.input),
            (choice.name(n) for n in ("candidate_box", "candidate_score", "candidate_class", "iou", "least")),
            strict=True,
        )
    )
    target = choice.name("sparse_score")
    for node in inner.graph.node:
        node.input[:] = [given.get(name, name) for name in node.input]
        node.output[:] = [target if name == inner.graph.output[0].name else name for name in node.output]
    place = next(index for index, node in enumerate(graph.node) if target in node.output)
    del graph.node[place]
    for offset, node in enumerate(inner.graph.node):
        graph.node.insert(place + offset, node)
    _drop_unused(graph)


def _count(graph: onnx.GraphProto, choice: _Choice) -> int:
    """Return how many candidates there are: the K of the TopK that chose them."""
    from onnx import numpy_helper

    constant = next(node for node in graph.node if choice.name("k") in node.output)
    return int(numpy_helper.to_array(constant.attribute[0].t).item())


def _text(proto: onnx.ModelProto, count: int) -> str:
    """Return the suppression as ONNX text; from opset 18 on Split must be told how many parts it makes."""
    opset = next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx"))
    rounds = "".join(_ROUND.format(now=index + 1, before=index) for index in range(ROUNDS))
    return _SUPPRESSION.format(
        ir_version=proto.ir_version, opset=opset, count=count, places=", ".join(map(str, range(count))),
        rounds=rounds, last=ROUNDS, two_parts=", num_outputs = 2" if opset >= 18 else "",
    )  # fmt: skip


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes whose results nobody takes any more."""
    given = {value.name for value in graph.output}
    while True:
        used = given | {name for node in graph.node for name in _taken(node)}
        dead = [node for node in graph.node if not used & set(node.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    left = {name for node in graph.node for name in node.output} | {t.name for t in graph.initializer}
    stale = [v for v in graph.value_info if v.name not in left]
    for info in stale:
        graph.value_info.remove(info)


def _taken(node: onnx.NodeProto) -> set[str]:
    """Return what a node takes, in the branches and bodies inside it too."""
    inner = [a.g for a in node.attribute if a.HasField("g")] + [g for a in node.attribute for g in a.graphs]
    return set(node.input) | {name for graph in inner for n in graph.node for name in _taken(n)}
