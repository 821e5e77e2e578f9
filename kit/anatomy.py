"""What an ONNX graph consists of: operators, weights, who made it. Read from the file alone, nothing is run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.training"})
_ONNX_RUNTIMES_OWN = "com.microsoft"
_MADE_FOR_ONE_CPU = "com.microsoft.nchwc"
_PLUGIN_ENDING = "_TRT"
_NO_WEIGHTS = frozenset({"INT64", "INT32", "BOOL", "STRING", "UNDEFINED"})
"""Element types of shapes, indices and biases of quantised layers."""

_SHORT = {"FLOAT": "FP32", "FLOAT16": "FP16", "BFLOAT16": "BF16", "DOUBLE": "FP64"}
_WEIGHT_ONLY = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})
_DYNAMIC = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger", "ConvInteger"})


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator and how often it is in the graph and its inner graphs; ``domain`` is empty for ONNX's own."""

    domain: str
    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Custom:
    """An operator that is not ONNX's own, and who runs it."""

    domain: str
    name: str
    count: int
    served: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Weights:
    """All weights of one element type; ``size`` in bytes."""

    dtype: str
    count: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What is in a file. ``quantization`` is None where the network is not quantised.

    ``external`` are the files beside it in which weights lie. ``functions`` are operators that it brings itself.
    """

    producer: str
    ir_version: int
    opsets: Mapping[str, int]
    operators: tuple[Operator, ...]
    customs: tuple[Custom, ...]
    weights: tuple[Weights, ...]
    quantization: str | None
    external: tuple[str, ...]
    functions: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """The number of weights of all types."""
        return sum(kind.count for kind in self.weights)


def of(proto: onnx.ModelProto) -> Anatomy:
    """Return what a model consists of; its weights may lie elsewhere."""
    own = {(f.domain, f.name) for f in proto.functions}
    nodes = [*_nodes(proto.graph.node), *(node for f in proto.functions for node in _nodes(f.node))]
    counts = Counter((_domain(node.domain), node.op_type) for node in nodes)
    operators = tuple(
        Operator(domain=domain, name=name, count=count)
        for (domain, name), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if (domain, name) not in own
    )
    return Anatomy(
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        ir_version=proto.ir_version,
        opsets={_domain(o.domain) or "ai.onnx": o.version for o in proto.opset_import},
        operators=operators,
        customs=tuple(custom for operator in operators if (custom := _custom(operator)) is not None),
        weights=weights(proto),
        quantization=_quantization(counts),
        external=_external(proto),
        functions=tuple(sorted(f"{domain}::{name}" for domain, name in own)),
    )


def weights(proto: onnx.ModelProto) -> tuple[Weights, ...]:
    """Return the weights by type, most first: floats and short integers; shapes and indices are none."""
    import onnx

    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for tensor in _tensors(proto.graph):
        long = onnx.TensorProto.DataType.Name(tensor.data_type)
        if long in _NO_WEIGHTS:
            continue
        numbers = math.prod(tensor.dims)
        count[_SHORT.get(long, long)] += numbers
        size[_SHORT.get(long, long)] += math.ceil(numbers * _bits(tensor.data_type) / 8)
    return tuple(Weights(dtype=kind, count=number, size=size[kind]) for kind, number in count.most_common())


def _bits(element: int) -> int:
    import onnx

    name = onnx.TensorProto.DataType.Name(element)
    return 4 if name.endswith("INT4") else int(onnx.helper.tensor_dtype_to_np_dtype(element).itemsize * 8)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes and those of their inner graphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for graph in (*inner, *attribute.graphs):
                yield from _nodes(graph.node)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the constants of a graph that are more than one number, and those of inner graphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t") and math.prod(attribute.t.dims) > 1:
                yield attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _custom(operator: Operator) -> Custom | None:
    """Return what is to be said of an operator that is not ONNX's own; None for those that are."""
    import onnx

    if operator.domain in _STANDARD and onnx.defs.has(operator.name, operator.domain):
        return None
    if operator.name.endswith(_PLUGIN_ENDING):
        served, reason = False, "a TensorRT plugin, which ONNX Runtime does not have; export without it"
    elif operator.domain == _MADE_FOR_ONE_CPU:
        served, reason = True, "ONNX Runtime wrote it for the CPU it ran on; better give the model from before"
    elif operator.domain == _ONNX_RUNTIMES_OWN:
        served, reason = True, "ONNX Runtime's own: TensorRT and OpenVINO do not have it"
    else:
        served, reason = False, "no backend has it without its maker's library; export with ONNX's own operators"
    return Custom(
        domain=operator.domain, name=operator.name, count=operator.count, served=served, reason=reason
    )  # fmt: skip


def _quantization(counts: Mapping[tuple[str, str], int]) -> str | None:
    """Say in what form a network is quantised; None where it is not."""
    names: Counter[str] = Counter()
    for (_, name), count in counts.items():
        names[name] += count
    whole = sum(count for name, count in names.items() if name.startswith("QLinear") or name in ("QGemm", "QAttention"))
    found = [
        f"Q/DQ: {names['QuantizeLinear']} quantise, {names['DequantizeLinear']} dequantise"
        if names["QuantizeLinear"] + names["DequantizeLinear"] and not whole
        else "",
        f"QOperator: {whole} operators on integers" if whole else "",
        "dynamic: activations are quantised as they come" if any(names[name] for name in _DYNAMIC) else "",
        "weights only" if any(names[name] for name in _WEIGHT_ONLY) else "",
    ]
    return "; ".join(filter(None, found)) or None


def _external(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Return the files in which weights lie, as the model names them."""
    tensors = _tensors(proto.graph)
    return tuple(sorted({e.value for t in tensors for e in t.external_data if e.key == "location"}))
