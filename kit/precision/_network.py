"""A graph that is to be lowered: made ready for it, and its links: who makes a tensor, who takes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit import dialect
from kit.errors import UnsupportedModelError
from kit.types import Interpretation, Model

if TYPE_CHECKING:
    import onnx

_LEAST_OPSET = 13
"""QuantizeLinear has an axis from here on: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html"""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A graph and its links. ``constants`` are its initializers, ``captured`` is what inner graphs take from outside.

    ``elements`` are ONNX's element types of every tensor that is known; ``shapes`` have -1 where a size is free.
    """

    proto: onnx.ModelProto
    makers: Mapping[str, onnx.NodeProto]
    takers: Mapping[str, tuple[onnx.NodeProto, ...]]
    constants: Mapping[str, onnx.TensorProto]
    elements: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]
    captured: frozenset[str]

    @property
    def nodes(self) -> tuple[onnx.NodeProto, ...]:
        """The nodes, each after those whose results it takes."""
        return tuple(self.proto.graph.node)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the graph gives."""
        return tuple(value.name for value in self.proto.graph.output)

    def fed(self, node: onnx.NodeProto) -> list[str]:
        """Return a node's inputs that are no constants."""
        return [name for name in node.input if name and name not in self.constants]

    def before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the nodes that make what a node takes."""
        return [self.makers[name] for name in self.fed(node) if name in self.makers]

    def is_float(self, name: str) -> bool:
        """Tell whether a tensor is FP32."""
        return self.elements.get(name) == 1


def prepare(model: Model, meaning: Interpretation) -> onnx.ModelProto:
    """Return a model's graph with every node named, its constants as initializers and batch normalisation folded.

    The constants of tasks stay as they are: thresholds, which others find by name. Raises ``UnsupportedModelError``
    where the operators are too old and cannot be raised.
    """
    import onnx
    import onnx.inliner

    proto = onnx.load(str(model.path))
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    proto = dialect.raised(proto, _LEAST_OPSET, f"is too old to quantise (from {_LEAST_OPSET} on),")
    _lift_constants(proto, f"{meaning.task}/" if meaning.contract == "served" else None)
    _fold_normalization(proto)
    _name_nodes(proto)
    return proto


def link(proto: onnx.ModelProto) -> Network:
    """Return the graph with its links. Raises ``UnsupportedModelError`` where its shapes make no sense."""
    import onnx

    import kit.graph

    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except kit.graph.onnx_failures() as error:
        raise UnsupportedModelError(f"the graph's shapes make no sense: {kit.graph.one_line(error)[:200]}") from error
    takers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in inferred.graph.node:
        for name in dict.fromkeys(node.input):
            takers[name].append(node)
    constants = {tensor.name: tensor for tensor in inferred.graph.initializer}
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    return Network(
        proto=inferred,
        makers={name: node for node in inferred.graph.node for name in node.output if name},
        takers={name: tuple(nodes) for name, nodes in takers.items()},
        constants=constants,
        elements={v.name: v.type.tensor_type.elem_type for v in values}
        | {n: t.data_type for n, t in constants.items()},
        shapes={v.name: _shape(v) for v in values} | {n: tuple(t.dims) for n, t in constants.items()},
        captured=frozenset(_captured(inferred.graph)),
    )


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside a node: the branches of an If, the body of a Loop."""
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs


def constant_inputs(network: Network, node: onnx.NodeProto) -> list[onnx.TensorProto]:
    """Return the constants that a node takes, in their order."""
    return [network.constants[name] for name in node.input if name in network.constants]


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return a node's integer attribute."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def _types(constants: Mapping[str, onnx.TensorProto]) -> dict[str, int]:
    return {name: tensor.data_type for name, tensor in constants.items()}


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)


def _captured(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from _taken_inside(inner)


def _taken_inside(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for inner in inner_graphs(node):
            yield from _taken_inside(inner)
    yield from (value.name for value in graph.output)  # a branch may give what is outside as it is


def _lift_constants(proto: onnx.ModelProto, left: str | None) -> None:
    """Make initializers of constants, for the quantizer takes no others for weights; those called ``left...`` stay."""
    kept = []
    for node in proto.graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type != "Constant" or value is None or (left and node.output[0].startswith(left)):
            kept.append(node)
            continue
        tensor = proto.graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
    if len(kept) < len(proto.graph.node):
        kept = [type(node).FromString(node.SerializeToString()) for node in kept]
        del proto.graph.node[:]
        proto.graph.node.extend(kept)


def _name_nodes(proto: onnx.ModelProto) -> None:
    """Give every node a name of its own: the quantizer knows nodes by it."""
    seen: set[str] = set()
    for index, node in enumerate(proto.graph.node):
        name = node.name or f"{(*node.output, '')[0].rpartition('/')[0]}/{node.op_type}_{index}".lstrip("/")
        while name in seen:
            name = f"{name}_{index}"
        node.name = name
        seen.add(name)


def _fold_normalization(proto: onnx.ModelProto) -> None:
    """Multiply each batch normalisation into the convolution before it, where nobody else takes that one's result."""
    takers: dict[str, int] = defaultdict(int)
    for name in _all_taken(proto.graph):
        takers[name] += 1
    makers = {node.output[0]: node for node in proto.graph.node if node.op_type == "Conv"}
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in [n for n in proto.graph.node if n.op_type == "BatchNormalization" and len(n.output) == 1]:
        conv = makers.get(node.input[0])
        known = conv is not None and all(name in weights for name in (*conv.input[1:], *node.input[1:]))
        if conv is None or not known or takers[conv.output[0]] != 1 or weights[conv.input[1]].data_type != 1:
            continue
        _fold(proto, conv, node, weights)


def _all_taken(graph: onnx.GraphProto) -> Iterable[str]:
    yield from (name for node in graph.node for name in node.input)
    yield from (value.name for value in graph.output)
    yield from _captured(graph)


def _fold(
    proto: onnx.ModelProto, conv: onnx.NodeProto, node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]
) -> None:
    """Replace a convolution and its normalisation by one: w * g, (b - mean) * g + beta with g = gamma / std."""
    import numpy as np
    from onnx import numpy_helper

    gamma, beta, mean, variance = (numpy_helper.to_array(weights[name]) for name in node.input[1:5])
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    factor = gamma / np.sqrt(variance + epsilon)
    weight = numpy_helper.to_array(weights[conv.input[1]])
    bias = numpy_helper.to_array(weights[conv.input[2]]) if len(conv.input) > 2 else np.zeros_like(mean)
    folded = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    number = len(proto.graph.initializer)
    names = (f"{conv.input[1]}_merged_{number}", f"{node.input[2]}_merged_{number}")
    for name, array in zip(names, (folded, (bias - mean) * factor + beta), strict=True):
        proto.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    conv.input[:] = [conv.input[0], *names]
    conv.output[0] = node.output[0]
    proto.graph.node.remove(node)
