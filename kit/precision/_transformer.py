"""Networks that are mostly matrix products (ViT): on a CPU their activations can be quantised as they come, too."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from kit.precision._network import Network
from kit.precision._structure import weight_of

if TYPE_CHECKING:
    import onnx

_SHARE = 0.5


def is_one(network: Network) -> bool:
    """Tell whether most multiplications are those of matrix products with weights."""
    costs = [
        (node.op_type, _multiplications(network, node, weight))
        for node in network.nodes
        if (weight := weight_of(network, node)) is not None
    ]
    products = sum(cost for kind, cost in costs if kind in ("MatMul", "Gemm"))
    return bool(products > _SHARE * sum(cost for _, cost in costs))


def _multiplications(network: Network, node: onnx.NodeProto, weight: onnx.TensorProto) -> int:
    """Return how often a layer multiplies for one picture; free sizes count as one."""
    shape = network.shapes.get(node.output[0], ())
    places = shape[2:] if node.op_type in ("Conv", "ConvTranspose") else shape[1:-1]
    count: int = math.prod(weight.dims) * math.prod(abs(size) for size in places)
    return count


def dynamic(network: Network, nodes: Collection[str]) -> onnx.ModelProto:
    """Return the graph with the matrix products among ``nodes`` in 8 bits, their inputs' ranges found at each run."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    kinds = [kind for kind in IntegerOpsRegistry if kind == "MatMul"]
    chosen = sorted(node.name for node in network.nodes if node.name in nodes and node.op_type in kinds)
    proto = onnx.ModelProto()
    proto.CopyFrom(network.proto)
    writer = ONNXQuantizer(
        proto, True, False, QuantizationMode.IntegerOps, False, QuantType.QInt8, QuantType.QUInt8, None, chosen, [],
        kinds, {"MatMulConstBOnly": True},
    )  # fmt: skip
    return writer.quantize_model()
