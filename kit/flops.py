"""How much a network multiplies: multiply-accumulates of its convolutions and matrix products, from shapes alone.

Counted are Conv, ConvTranspose, Gemm, MatMul, Einsum of two, RNN, GRU and LSTM, and the quantised forms of these; a
floating-point operation is half of a multiply-accumulate. The rest (activations, normalisation, pooling, resizing) is
a few percent of a vision network and is left out, as papers and torchvision's tables do. Our own count, because
packages that count bring their own shape inference and disagree on what belongs to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit import quiet
from kit.errors import UnsupportedModelError

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Multiply-accumulates for the inputs' ``shapes``; None where ``unknown`` says what is missing."""

    macs: int | None
    unknown: str = ""

    @property
    def flops(self) -> int | None:
        """Floating-point operations: a multiplication and an addition for each."""
        return None if self.macs is None else 2 * self.macs


def count(model: onnx.ModelProto, inputs: Shapes) -> Cost:
    """Return what one run costs with inputs of these shapes, without free dimensions: one picture, say.

    Where ONNX's own inference stops, ONNX Runtime is asked, if there are operators of its own, and then onnxsim, which
    computes what depends on shapes alone.
    """
    proto = _fixed(model, inputs)
    cost = _sum(proto, _shapes(proto))
    if cost.macs is None and any(node.domain for node in proto.graph.node):
        cost = _sum(proto, _shapes_of_onnxruntime(proto))
    if cost.macs is None:
        folded = _folded(proto)
        cost = _sum(folded, _shapes(folded))
    return cost


def by_node(model: onnx.ModelProto, inputs: Shapes) -> dict[str, int]:
    """Return the multiply-accumulates of each node that has some, by its name; without those of unknown shapes."""
    proto = _fixed(model, inputs)
    shapes = _shapes(proto)
    return {node.name: macs for node in proto.graph.node if (macs := _of_node(node, shapes))}


def _fixed(model: onnx.ModelProto, inputs: Shapes) -> onnx.ModelProto:
    """Return the model for these inputs alone: what is written of the sizes of other tensors goes."""
    import onnx

    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    del proto.graph.value_info[:]
    for value in proto.graph.input:
        if value.name in inputs:
            sizes = value.type.tensor_type.shape
            del sizes.dim[:]
            for size in inputs[value.name]:
                sizes.dim.add().dim_value = size
    for value in proto.graph.output:
        for size in value.type.tensor_type.shape.dim:
            size.Clear()
    return proto


def _folded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with all that depends on shapes alone computed, where onnxsim can."""
    import onnxsim

    import kit.graph

    try:
        with quiet.silenced():
            simpler: onnx.ModelProto = onnxsim.simplify(proto, check_n=0)[0]
    except kit.graph.onnx_failures():
        return proto
    return simpler


def _sum(proto: onnx.ModelProto, shapes: Shapes) -> Cost:
    total = 0
    for node in proto.graph.node:
        if (macs := _of_node(node, shapes)) is None:
            return Cost(macs=None, unknown=f"the shapes tell nothing of {node.op_type} {node.name}".strip())
        total += macs
    return Cost(macs=total)


def _of_node(node: onnx.NodeProto, shapes: Shapes) -> int | None:
    """Return what a node multiplies; None where the shapes do not tell."""
    if (counted := _COUNTED.get(node.op_type)) is None:
        return 0
    try:
        return counted(node, [shapes.get(name, ()) for name in node.input], shapes.get(node.output[0], ()))
    except (IndexError, _UnknownShapeError):
        return None


def _shapes(proto: onnx.ModelProto) -> dict[str, Shape]:
    """Return the shapes of all tensors that have one without free dimensions."""
    import onnx

    import kit.graph

    try:
        graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    except kit.graph.onnx_failures():  # over 2 GB it is a ValueError
        graph = proto.graph
    found: dict[str, Shape] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            found[value.name] = _sizes(value)
    return found


def _shapes_of_onnxruntime(proto: onnx.ModelProto) -> dict[str, Shape]:
    """Return the shapes that a session infers when it is asked for every tensor; nothing is run."""
    import onnx

    import kit.graph

    opened = onnx.ModelProto()
    opened.CopyFrom(proto)
    given = {value.name for value in opened.graph.output}
    made = [name for node in opened.graph.node for name in node.output if name and name not in given]
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    try:
        outputs = kit.graph.session(opened.SerializeToString(), threads=1, optimize=False).get_outputs()
    except (UnsupportedModelError, ValueError):  # over 2 GB it is a ValueError
        return {}
    found = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    for value in (*proto.graph.input, *outputs):
        shape = _sizes(value) if isinstance(value, onnx.ValueInfoProto) else tuple(value.shape)
        if all(isinstance(size, int) for size in shape):
            found[value.name] = shape
    return found


def _sizes(value: onnx.ValueInfoProto) -> Shape:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


class _UnknownShapeError(Exception):
    """A shape that is needed is free, or the operator cannot be counted by shapes."""


def _need(shape: Shape) -> Shape:
    if not shape:
        raise _UnknownShapeError
    return shape


def _convolution(node: onnx.NodeProto, taken: list[Shape], given: Shape) -> int:
    """Each number of the result is a sum over the kernel [out, in / groups, ...]."""
    kernel = taken[3 if node.op_type == "QLinearConv" else 1]
    return math.prod(_need(given)) * math.prod(_need(kernel)[1:])


def _transposed(node: onnx.NodeProto, taken: list[Shape], given: Shape) -> int:  # noqa: ARG001
    """Each number of the input goes into the kernel [in, out / groups, ...]."""
    return math.prod(_need(taken[0])) * math.prod(_need(taken[1])[1:])


def _product(node: onnx.NodeProto, taken: list[Shape], given: Shape) -> int:  # noqa: ARG001
    """Each number of the result is a sum over the last dimension of the first factor."""
    return math.prod(_need(given)) * _need(taken[0])[-1]


def _gemm(node: onnx.NodeProto, taken: list[Shape], given: Shape) -> int:
    """The same where the first factor may be transposed."""
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(_need(given)) * _need(taken[0])[0 if transposed else 1]


def _einsum(node: onnx.NodeProto, taken: list[Shape], given: Shape) -> int:  # noqa: ARG001
    """One for each combination of all indices."""
    equation = next(a.s.decode() for a in node.attribute if a.name == "equation").replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if "." in equation or len(terms) != len(taken):
        raise _UnknownShapeError
    sizes = {index: size for term, shape in zip(terms, taken, strict=True)
             for index, size in zip(term, _need(shape), strict=True)}  # fmt: skip
    return math.prod(sizes.values())


def _recurrent(node: onnx.NodeProto, taken: list[Shape], given: Shape) -> int:  # noqa: ARG001
    """Each step of each sequence goes through both weights; X is [steps, N, in]."""
    steps, pictures, _ = _need(taken[0])
    return steps * pictures * (math.prod(_need(taken[1])) + math.prod(_need(taken[2])))


def _beyond_us(node: onnx.NodeProto, taken: list[Shape], given: Shape) -> int:  # noqa: ARG001
    raise _UnknownShapeError


_COUNTED: Mapping[str, Callable[[onnx.NodeProto, list[Shape], Shape], int]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _convolution),
    "ConvTranspose": _transposed,
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _product),
    **dict.fromkeys(("Gemm", "QGemm"), _gemm),
    "Einsum": _einsum,
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _recurrent),
    # What multiplies too, in ways that shapes do not tell.
    **dict.fromkeys(
        (
            "Attention",
            "DeformConv",
            "FusedConv",
            "If",
            "Loop",
            "MatMulNBits",
            "MultiHeadAttention",
            "QAttention",
            "Scan",
        ),
        _beyond_us,
    ),
}
