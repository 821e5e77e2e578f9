"""Puts Q/DQ into a graph, by ONNX Runtime's quantizer with our choice of nodes and ranges."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import QuantizationError, UnsupportedModelError
from kit.precision._network import Network, inner_graphs
from kit.precision._recipes import Recipe
from kit.types import Model

if TYPE_CHECKING:
    import onnx

Range = tuple[float, float]


def quantised(
    network: Network, nodes: Collection[str], ranges: Mapping[str, Range], recipe: Recipe, also: Collection[str] = ()
) -> onnx.ModelProto:
    """Return the graph with ``nodes`` quantised, and the tensors of ``also`` where they lie.

    Raises ``QuantizationError`` where ONNX Runtime's quantizer does not take it.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    operators = sorted({node.op_type for node in network.nodes if node.name in nodes})
    try:
        with _silent():
            writer = QDQQuantizer(
                proto, recipe.per_channel, recipe.reduced, types[recipe.weights], types[recipe.activations],
                _tensors_data(ranges), sorted(nodes), [], operators, _options(recipe),
            )  # fmt: skip
            for tensor in also:
                writer.quantize_activation_tensor(tensor)
            made = writer.quantize_model() if nodes else proto
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise QuantizationError(f"ONNX Runtime's quantizer does not take this graph: {reason}") from error
    return made


def finish(proto: onnx.ModelProto, like: Model, folder: Path) -> Model:
    """Write a lowered graph into ``folder``: sorted, without what is not used, checked, loaded by ONNX Runtime.

    Raises ``QuantizationError`` where it is no valid graph any more, or takes or gives something else.
    """
    import kit.graph

    failures: tuple[type[Exception], ...] = (UnsupportedModelError, *kit.graph.onnx_failures())
    tidy(proto)
    kit.graph.strip(proto)
    try:
        made = kit.graph.save(proto, folder / "model.onnx", checked=True)
    except failures as error:
        raise QuantizationError(f"the lowered graph is not valid: {kit.graph.one_line(error)[:200]}") from error
    if made.signature != like.signature:
        raise QuantizationError(f"lowering changed what the model takes or gives: {made.signature}; this is a bug")
    return made


def tidy(proto: onnx.ModelProto) -> None:
    """Sort the nodes by what they take, name the maker, and remove what nobody takes: constants, old shapes."""
    ordered = _sorted(proto)
    del proto.graph.node[:]
    proto.graph.node.extend(ordered)
    used = {name for graph in _graphs(proto.graph) for node in graph.node for name in node.input}
    used |= {value.name for graph in _graphs(proto.graph) for value in graph.output}
    kept = [tensor for tensor in proto.graph.initializer if tensor.name in used]
    kept = [type(tensor).FromString(tensor.SerializeToString()) for tensor in kept]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    del proto.graph.value_info[:]
    proto.producer_name, proto.producer_version = "triton-edge-kit", ""
    domains = {node.domain for graph in _graphs(proto.graph) for node in graph.node} | {""}
    imported = [o for o in proto.opset_import if (o.domain if o.domain != "ai.onnx" else "") in domains]
    imported = [type(o).FromString(o.SerializeToString()) for o in imported]
    del proto.opset_import[:]
    proto.opset_import.extend(imported)


def _options(recipe: Recipe) -> dict[str, object]:
    layers = ["Conv", "ConvTranspose", "Gemm", "MatMul"]
    return {
        "ActivationSymmetric": recipe.symmetric,
        "WeightSymmetric": True,
        "QuantizeBias": recipe.bias,
        "OpTypesToExcludeOutputQuantization": [] if recipe.outputs else layers,
    }


def _tensors_data(ranges: Mapping[str, Range]) -> object:
    import numpy as np
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData

    return TensorsData(
        CalibrationMethod.MinMax,
        {n: TensorData(lowest=np.float32(low), highest=np.float32(high)) for n, (low, high) in ranges.items()},
    )


def _sorted(proto: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes, each after those whose results it takes; those that could be exchanged stay in their order."""
    makers = {name: index for index, node in enumerate(proto.graph.node) for name in node.output if name}
    nodes = [type(node).FromString(node.SerializeToString()) for node in proto.graph.node]
    placed: set[int] = set()
    found: list[onnx.NodeProto] = []
    for root in range(len(nodes)):
        todo = [root]
        while todo:
            index = todo[-1]
            if index in placed:
                todo.pop()
                continue
            missing = [makers[n] for n in _taken(nodes[index]) if n in makers and makers[n] not in placed]
            if missing:
                todo += missing
                continue
            placed.add(todo.pop())
            found.append(nodes[index])
    return found


def _taken(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for graph in inner_graphs(node):
        for inner in graph.node:
            yield from _taken(inner)
        yield from (value.name for value in graph.output)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from _graphs(inner)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what ONNX Runtime's quantizer tells the root logger from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
