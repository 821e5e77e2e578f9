"""Writes a graph in FP16: which slots of an operator can be, and where a Cast stands between the two types."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.precision._network import Network, inner_graphs

if TYPE_CHECKING:
    import onnx

FLOAT, HALF = 1, 10
_TYPED_BY_ATTRIBUTE = frozenset({"ConstantOfShape", "EyeLike", "Bernoulli", "Constant"})
_BOTH = frozenset({"tensor(float)", "tensor(float16)"})


@dataclass(frozen=True, kw_only=True)
class _Slots:
    """Which of an operator's inputs and outputs take FP16 as well as FP32; the last says so of all further ones."""

    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]

    def takes(self, index: int) -> bool:
        return bool(self.inputs) and self.inputs[min(index, len(self.inputs) - 1)]

    def gives(self, index: int) -> bool:
        return bool(self.outputs) and self.outputs[min(index, len(self.outputs) - 1)]


def can_be(network: Network, node: onnx.NodeProto) -> bool:
    """Tell whether an operator has a form in FP16: all its FP32 results can be, and some are."""
    own = any(True for _ in inner_graphs(node)) or node.op_type.startswith("Random")
    if own or node.op_type in _TYPED_BY_ATTRIBUTE or network.captured & set(node.output):
        return False
    slots = _slots(node.op_type, node.domain, _opset(network.proto, node.domain))
    results = [index for index, name in enumerate(node.output) if name and network.is_float(name)]
    return slots is not None and bool(results) and all(slots.gives(index) for index in results)


def converted(network: Network, halved: Collection[str]) -> onnx.ModelProto:
    """Return the graph with the nodes named in ``halved`` in FP16, and a Cast wherever a tensor changes its type.

    A tensor keeps its name in FP32, and is called ``..._fp16`` in FP16: inputs, outputs and what inner graphs take from
    outside stay as they are.
    """
    import onnx

    writer = _Writer(network=network)
    for node in network.nodes:
        writer.add(node, half=node.name in halved)
    for name in network.outputs:
        writer.full(name)
    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    del proto.graph.node[:]
    proto.graph.node.extend(writer.nodes)
    proto.graph.initializer.extend(writer.constants.values())
    return proto


def compressed(network: Network, weights: Collection[str]) -> onnx.ModelProto:
    """Return the graph with the constants named in ``weights`` in FP16, and a Cast to FP32 behind each."""
    import onnx

    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    nodes = [type(node).FromString(node.SerializeToString()) for node in proto.graph.node]
    kept = [t for t in network.proto.graph.initializer if t.name not in weights]
    small = [_half_constant(t) for t in network.proto.graph.initializer if t.name in weights]
    casts = [onnx.helper.make_node("Cast", [t.name], [t.name.removesuffix(_SUFFIX)], f"{t.name}/to_fp32", to=FLOAT)
             for t in small]  # fmt: skip
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend([*casts, *nodes])
    proto.graph.initializer.extend([*kept, *small])
    return proto


_SUFFIX = "_fp16"


@dataclass(kw_only=True)
class _Writer:
    """The graph as it grows: its nodes, and the constants in FP16."""

    network: Network
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    cast: set[str] = field(default_factory=set)

    def add(self, node: onnx.NodeProto, *, half: bool) -> None:
        """Add a node in one type or the other."""
        new = type(node).FromString(node.SerializeToString())
        slots = _slots(node.op_type, node.domain, _opset(self.network.proto, node.domain)) if half else None
        for index, name in enumerate(node.input):
            if slots is not None and slots.takes(index) and self.network.is_float(name):
                new.input[index] = self.half(name)
            else:
                self.full(name)
        for inner in inner_graphs(node):
            for name in {taken for deep in inner.node for taken in deep.input}:
                self.full(name)
        if slots is not None:
            self._give_half(new)
        self.nodes.append(new)

    def half(self, name: str) -> str:
        """Return the FP16 name of a tensor, with a Cast where there was none in FP16."""
        import onnx

        small = f"{name}{_SUFFIX}"
        if name in self.network.constants:
            self.constants.setdefault(small, _half_constant(self.network.constants[name]))
        elif name not in self.made and small not in self.cast:
            self.nodes.append(onnx.helper.make_node("Cast", [name], [small], f"{name}/to_fp16", to=HALF))
            self.cast.add(small)
        return small

    def full(self, name: str) -> None:
        """Put a Cast where a tensor that was made in FP16 is taken in FP32."""
        import onnx

        if name in self.made and name not in self.cast:
            self.nodes.append(onnx.helper.make_node("Cast", [f"{name}{_SUFFIX}"], [name], f"{name}/to_fp32", to=FLOAT))
            self.cast.add(name)

    def _give_half(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.output):
            if name and self.network.is_float(name):
                node.output[index] = f"{name}{_SUFFIX}"
                self.made.add(name)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = HALF


def _half_constant(tensor: onnx.TensorProto) -> onnx.TensorProto:
    import numpy as np
    from onnx import numpy_helper

    with np.errstate(over="ignore", under="ignore"):
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}{_SUFFIX}")


@functools.cache
def _slots(kind: str, domain: str, opset: int) -> _Slots | None:
    """Return an operator's slots; None for one that is not ONNX's own."""
    import onnx

    try:
        schema = onnx.defs.get_schema(kind, opset, domain)
    except onnx.defs.SchemaError:
        return None
    both = {c.type_param_str for c in schema.type_constraints if set(c.allowed_type_strs) >= _BOTH}
    return _Slots(
        inputs=tuple(slot.type_str in both for slot in schema.inputs),
        outputs=tuple(slot.type_str in both for slot in schema.outputs),
    )


def _opset(proto: onnx.ModelProto, domain: str) -> int:
    return max((o.version for o in proto.opset_import if o.domain in (domain, domain or "ai.onnx")), default=0)
