"""Layers read from an ONNX graph; what only converts (Cast, Q/DQ, Identity) is looked through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kit import modules
from kit.blame.layers import Layer, Network

if TYPE_CHECKING:
    import onnx

_FLOATS = frozenset({1, 10, 11, 16})
"""FLOAT, FLOAT16, DOUBLE and BFLOAT16 of TensorProto.DataType."""

_LOOKED_THROUGH = frozenset({"Identity", "Dropout", "QuantizeLinear", "DequantizeLinear"})
_INTEGER = {"QLinearConv": "Conv", "QLinearMatMul": "MatMul", "QGemm": "Gemm", "ConvInteger": "Conv"}
"""Operators on integers, by what they compute (QOperator format); ``QLinear`` goes from the names of the others."""


@dataclass
class _Reading:
    """What is known so far of a graph that is read from its first node to its last."""

    constants: dict[str, tuple[int, ...]]
    sources: dict[str, str] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)


def network(graph: onnx.GraphProto) -> Network:
    """Return the layers of a graph; what is computed from constants alone is none."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    inputs = tuple(value.name for value in graph.input if value.name not in weights)
    reading = _Reading(constants=weights)
    found = [layer for node in graph.node for layer in _read(node, reading)]
    layers = (replace(layer, passed=reading.passed.get(layer.name, "")) for layer in found)
    return Network(inputs=inputs, layers=tuple(layers))


def source(graph: onnx.GraphProto, tensor: str) -> str:
    """Return the layer or the input whose values a tensor holds, as ``network`` looks through conversions."""
    reading = _Reading(constants={t.name: tuple(t.dims) for t in graph.initializer})
    for node in graph.node:
        list(_read(node, reading))
    return reading.sources.get(tensor, tensor)


def _read(node: onnx.NodeProto, reading: _Reading) -> Iterator[Layer]:
    """Yield a layer for each output of a node, where it is more than a constant or a conversion."""
    given = [name for name in node.input if name]
    dynamic = [name for name in given if name not in reading.constants]
    if not dynamic and not _inner_graphs(node):
        held = next((reading.constants[name] for name in given), ())
        reading.constants.update(dict.fromkeys(node.output, held))
        return
    if _only_converts(node) and dynamic:
        origin = reading.sources.get(dynamic[0], dynamic[0])
        reading.sources[node.output[0]] = origin
        if node.op_type == "DequantizeLinear":
            reading.passed.setdefault(origin, node.output[0])
        return
    held_names = tuple(name for name in given if reading.constants.get(name))
    module = modules.of_node(node.name, [name for name in given if name in reading.constants]) or ""
    for name in node.output:
        if name:
            yield Layer(
                name=name,
                operator=_INTEGER.get(node.op_type, node.op_type.removeprefix("QLinear")),
                inputs=tuple(dict.fromkeys(reading.sources.get(value, value) for value in dynamic)),
                module=module,
                weights=held_names,
                shapes=tuple(reading.constants[value] for value in held_names),
                nodes=(node.name,) if node.name else (),
            )


def _only_converts(node: onnx.NodeProto) -> bool:
    if node.op_type == "Cast":
        return any(a.name == "to" and a.i in _FLOATS for a in node.attribute)
    return node.op_type in _LOOKED_THROUGH


def _inner_graphs(node: onnx.NodeProto) -> bool:
    """Tell whether a node holds graphs (If, Loop): they may read any tensor around them."""
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
