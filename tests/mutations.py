"""Damaged ONNX models as hypothesis strategies: bytes cut, flipped or spliced, and graphs that say what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import models
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

Draw = Callable[[st.SearchStrategy[Any]], Any]
Mutation = Callable[[Draw, onnx.ModelProto], None]

_NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 7, 8, 40, 1000, -1, -2, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**63)])
_TEXTS = st.sampled_from(
    ["", "x", "scores", "batch", "a b", "a\nb", "a/b", "..", '"', "\x00", "\x1b[31m", "ü", "n" * 5000]
)
_TYPES = st.integers(-1, 30) | st.just(99)
_OPERATOR_NAMES = (
    "Abs Add And ArgMax BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose "
    "CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Erf Exp Expand EyeLike Flatten GRU Gather GatherND Gemm "
    "GlobalAveragePool GridSample Identity If InstanceNormalization IsNaN LSTM LayerNormalization Loop LRN MatMul "
    "MatMulInteger Max MaxPool Mod Mul NonMaxSuppression NonZero OneHot Pad Pow QuantizeLinear RandomNormal Range "
    "ReduceMax ReduceMean ReduceSum Reshape Resize RoiAlign Round ScatterND Scan SequenceConstruct SequenceAt Shape "
    "Slice Softmax SpaceToDepth Split SplitToSequence Sqrt Squeeze StringNormalizer Sub Tile TopK Transpose Unique "
    "Unsqueeze Upsample Where NoSuchOperator FusedConv"
)
_OPERATORS = st.sampled_from(_OPERATOR_NAMES.split())
_ATTRIBUTE_NAMES = "axis axes to perm value keepdims group pads strides kernel_shape blocksize k"
_ATTRIBUTES = st.sampled_from(_ATTRIBUTE_NAMES.split())


def _control_flow() -> onnx.ModelProto:
    """``y = x > 0 everywhere ? x : -x``: a graph with graphs inside."""

    def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info("r", models.FLOAT, None)])

    return models.build(
        [
            models.node("ReduceMin", "x", "least", keepdims=0),
            models.node("Greater", "least zero", "all"),
            models.node(
                "If", "all", "y",
                then_branch=branch("then", models.node("Identity", "x", "r")),
                else_branch=branch("else", models.node("Neg", "x", "r")),
            ),
        ],
        [("x", models.FLOAT, (models.BATCH, 4))],
        [("y", models.FLOAT, (models.BATCH, 4))],
        {"zero": 0.0},
    )  # fmt: skip


def _convolution() -> onnx.ModelProto:
    """A small network with the operators that real ones have."""
    import numpy as np

    weights = {
        "w": np.full((4, 3, 3, 3), 0.1, np.float32),
        "half": np.array([1, 1, 2, 2], np.float32),
        "flat": np.array([0, 4, -1], np.int64),
        "parts": np.array([2, 2], np.int64),
    }
    nodes = [
        models.node("Conv", "x w", "c", pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3]),
        models.node("Relu", "c", "r"),
        models.node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2]),
        models.node("Resize", "m  half", "u", mode="nearest"),
        models.node("Concat", "u r", "b", axis=1),
        models.node("GlobalAveragePool", "b", "g"),
        models.node("Flatten", "g", "scores"),
    ]
    nodes[3].input[:] = ["m", "", "half"]
    pictures, scores = (models.BATCH, 3, 8, 8), (models.BATCH, 8)
    return models.build(nodes, [("x", models.FLOAT, pictures)], [("scores", models.FLOAT, scores)], weights)


BASES: dict[str, onnx.ModelProto] = {
    "classifier": models.classifier(metadata={"names": "['a', 'b', 'c']"}),
    "fixed": models.classifier(batch=1, softmax=True),
    "old": models.classifier(opset=11),
    "bytes": models.classifier(element=models.BYTE, layout="NHWC"),
    "detector": models.detector(anchors=8),
    "two inputs": models.two_inputs(),
    "text": models.text_model(),
    "control flow": _control_flow(),
    "convolution": _convolution(),
}


def _pick(draw: Draw, items: Sequence[Any]) -> Any:
    return items[draw(st.integers(0, len(items) - 1))] if len(items) else None


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    made = [name for node in graph.node for name in (*node.input, *node.output)]
    return [*made, *(t.name for t in (*graph.initializer, *graph.input, *graph.output)), "", "nowhere"]


def rename_input(draw: Draw, model: onnx.ModelProto) -> None:
    node = _pick(draw, model.graph.node)
    if node is not None and node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = _pick(draw, _names(model))


def rename_output(draw: Draw, model: onnx.ModelProto) -> None:
    node = _pick(draw, model.graph.node)
    if node is not None and node.output:
        node.output[draw(st.integers(0, len(node.output) - 1))] = _pick(draw, _names(model))


def rename_value(draw: Draw, model: onnx.ModelProto) -> None:
    value = _pick(draw, [*model.graph.input, *model.graph.output, *model.graph.initializer])
    if value is not None:
        value.name = draw(_TEXTS | st.sampled_from(_names(model)))


def change_inputs(draw: Draw, model: onnx.ModelProto) -> None:
    node = _pick(draw, model.graph.node)
    if node is not None:
        node.input[:] = draw(st.lists(st.sampled_from(_names(model)), max_size=6))


def change_operator(draw: Draw, model: onnx.ModelProto) -> None:
    node = _pick(draw, model.graph.node)
    if node is not None:
        node.op_type = draw(_OPERATORS)


def change_domain(draw: Draw, model: onnx.ModelProto) -> None:
    node = _pick(draw, model.graph.node)
    if node is not None:
        node.domain = draw(st.sampled_from(["com.microsoft", "ai.onnx.ml", "no.such.domain", ""]))
    if draw(st.booleans()):
        model.opset_import.add(domain=node.domain if node is not None else "x", version=draw(_NUMBERS))


def drop_attribute(draw: Draw, model: onnx.ModelProto) -> None:
    node = _pick(draw, [n for n in model.graph.node if n.attribute])
    if node is not None:
        del node.attribute[draw(st.integers(0, len(node.attribute) - 1))]


def change_attribute(draw: Draw, model: onnx.ModelProto) -> None:
    attribute = _pick(draw, [a for n in model.graph.node for a in n.attribute])
    if attribute is None:
        return
    attribute.i = draw(_NUMBERS)
    attribute.ints[:] = draw(st.lists(_NUMBERS, max_size=9))
    if draw(st.booleans()):
        attribute.type = draw(st.integers(0, 14))


def add_attribute(draw: Draw, model: onnx.ModelProto) -> None:
    node = _pick(draw, model.graph.node)
    if node is None:
        return
    name = draw(_ATTRIBUTES)
    value = draw(_NUMBERS | st.lists(_NUMBERS, min_size=1, max_size=6) | st.sampled_from([1.5, "text", float("nan")]))
    node.attribute.append(helper.make_attribute(name, value))


def change_shape(draw: Draw, model: onnx.ModelProto) -> None:
    value = _pick(draw, [*model.graph.input, *model.graph.output])
    if value is None:
        return
    shape = value.type.tensor_type.shape
    dimension = _pick(draw, shape.dim)
    if dimension is None or draw(st.booleans()):
        shape.dim.add().dim_value = draw(_NUMBERS)
    elif draw(st.booleans()):
        dimension.dim_value = draw(_NUMBERS)
    else:
        dimension.dim_param = draw(_TEXTS)


def drop_shape(draw: Draw, model: onnx.ModelProto) -> None:
    value = _pick(draw, [*model.graph.input, *model.graph.output])
    if value is not None:
        value.type.tensor_type.ClearField("shape") if draw(st.booleans()) else value.ClearField("type")


def change_type(draw: Draw, model: onnx.ModelProto) -> None:
    value = _pick(draw, [*model.graph.input, *model.graph.output])
    if value is not None:
        value.type.tensor_type.elem_type = draw(_TYPES)


def change_kind(draw: Draw, model: onnx.ModelProto) -> None:
    value = _pick(draw, [*model.graph.input, *model.graph.output])
    if value is not None:
        make = draw(st.sampled_from([helper.make_sequence_type_proto, helper.make_optional_type_proto]))
        value.type.CopyFrom(make(helper.make_tensor_type_proto(TensorProto.FLOAT, [1])))


def change_weight(draw: Draw, model: onnx.ModelProto) -> None:
    weight = _pick(draw, model.graph.initializer)
    if weight is None:
        return
    kind = draw(st.integers(0, 5))
    if kind == 0:
        weight.dims[:] = draw(st.lists(_NUMBERS, max_size=4))
    elif kind == 1:
        weight.data_type = draw(_TYPES)
    elif kind == 2:
        weight.raw_data = weight.raw_data[: draw(st.integers(0, len(weight.raw_data)))]
    elif kind == 3:
        weight.raw_data = draw(st.binary(max_size=64))
    elif kind == 4:
        weight.ClearField("raw_data")
    else:
        weight.raw_data = b"\xff" * len(weight.raw_data)


def external_weight(draw: Draw, model: onnx.ModelProto) -> None:
    weight = _pick(draw, model.graph.initializer)
    if weight is not None:
        weight.data_location = draw(st.sampled_from([TensorProto.DEFAULT, TensorProto.EXTERNAL]))
        for key in draw(st.lists(st.sampled_from(["location", "offset", "length", "odd"]), max_size=3)):
            weight.external_data.add(
                key=key, value=draw(_TEXTS | st.sampled_from(["/etc/passwd", "../x", "-1", "9" * 30]))
            )


def drop_node(draw: Draw, model: onnx.ModelProto) -> None:
    if model.graph.node:
        del model.graph.node[draw(st.integers(0, len(model.graph.node) - 1))]


def copy_node(draw: Draw, model: onnx.ModelProto) -> None:
    if model.graph.node:
        model.graph.node.append(_pick(draw, model.graph.node))


def shuffle_nodes(draw: Draw, model: onnx.ModelProto) -> None:
    nodes = draw(st.permutations(list(model.graph.node)))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def drop_value(draw: Draw, model: onnx.ModelProto) -> None:
    values: Any = draw(st.sampled_from([model.graph.input, model.graph.output, model.graph.initializer]))
    if len(values):
        del values[draw(st.integers(0, len(values) - 1))]


def copy_value(draw: Draw, model: onnx.ModelProto) -> None:
    values: Any = draw(st.sampled_from([model.graph.input, model.graph.output, model.graph.initializer]))
    if len(values):
        values.append(_pick(draw, values))


def change_versions(draw: Draw, model: onnx.ModelProto) -> None:
    version = draw(_NUMBERS | st.integers(0, 40))
    if draw(st.booleans()):
        model.ir_version = version
    elif model.opset_import:
        model.opset_import[0].version = version


def change_metadata(draw: Draw, model: onnx.ModelProto) -> None:
    value = st.sampled_from(
        ["{0: 'a'}", "['a']", "[", "{1: 2}", "()" * 2000, "{'a': [[[[]]]]}", "-" * 3000 + "1", "9" * 5000]
    )
    for key in draw(
        st.lists(st.sampled_from(["names", "task", "stride", "imgsz", "end2end", "x"]), min_size=1, max_size=3)
    ):
        model.metadata_props.add(key=key, value=draw(value | _TEXTS))


def nest(draw: Draw, model: onnx.ModelProto) -> None:
    """Put the graph into itself, as a branch."""
    depth = draw(st.integers(1, 4))
    for _ in range(depth):
        inner = onnx.GraphProto()
        inner.CopyFrom(model.graph)
        node = _pick(draw, model.graph.node)
        if node is not None:
            node.attribute.append(helper.make_attribute(draw(st.sampled_from(["body", "then_branch"])), inner))


MUTATIONS: tuple[Mutation, ...] = (
    rename_input, rename_output, rename_value, change_inputs, change_operator, change_domain, drop_attribute,
    change_attribute, add_attribute, change_shape, drop_shape, change_type, change_kind, change_weight, external_weight,
    drop_node, copy_node, shuffle_nodes, drop_value, copy_value, change_versions, change_metadata, nest,
)  # fmt: skip


@st.composite
def graphs(draw: Draw) -> bytes:
    """A model of which one to three things were changed so that it may make no sense."""
    model = onnx.ModelProto()
    model.CopyFrom(BASES[draw(st.sampled_from(sorted(BASES)))])
    for mutation in draw(st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=3)):
        mutation(draw, model)
    return model.SerializeToString()


@st.composite
def files(draw: Draw) -> bytes:
    """A model's bytes cut, flipped, overwritten, or spliced with those of another."""
    data = bytearray(BASES[draw(st.sampled_from(sorted(BASES)))].SerializeToString())
    other = BASES[draw(st.sampled_from(sorted(BASES)))].SerializeToString()
    for kind in draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        if kind == 0:
            del data[place:]
        elif kind == 1 and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == 2:
            data[place : place + draw(st.integers(0, 40))] = draw(st.binary(max_size=40))
        elif kind == 3:
            start = draw(st.integers(0, len(other) - 1))
            data[place:place] = other[start : start + draw(st.integers(1, 400))]
        else:
            data += other
    return bytes(data)
