"""Networks that are mostly matrix products (ViT): on a CPU their activations can be quantised as they come."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from kit.precision._network import Network
from kit.precision._recipes import Recipe
from kit.precision._structure import weight_of

if TYPE_CHECKING:
    import onnx

_SHARE = 0.5


def is_one(network: Network, recipe: Recipe) -> bool:
    """Tell whether most weights are of matrix products, and the backend is ONNX Runtime on a CPU.

    Others have no kernels for ranges that are found while it runs.
    """
    if (recipe.backend, recipe.device) != ("onnxruntime", "cpu"):
        return False
    sizes = [(node.op_type, math.prod(weight.dims)) for node in network.nodes
             if (weight := weight_of(network, node)) is not None]  # fmt: skip
    products = sum(size for kind, size in sizes if kind in ("MatMul", "Gemm"))
    return bool(products > _SHARE * sum(size for _, size in sizes))


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
