"""Models that cannot be lowered as they are, each told before any work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kit.errors import QuantizationError, UnsupportedModelError
from kit.precision._network import Network, constant_inputs
from kit.precision._structure import End, weight_of
from kit.precision.interface import Group

if TYPE_CHECKING:
    import onnx

_FLOAT, _HALF = 1, 10
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger")


def require_float(network: Network) -> None:
    """Refuse a network that is not in FP32, and weights that are no numbers.

    Raises ``UnsupportedModelError`` and ``QuantizationError``.
    """
    quantised = [n for n in network.nodes if n.op_type in _QUANTISED or n.op_type.startswith("QLinear")]
    if quantised:
        raise UnsupportedModelError(
            f"the model is quantised already ({len(quantised)} nodes: {quantised[0].op_type} ...); leave --precision "
            "out to serve it as it is, or give the model from before it was quantised"
        )
    if halves := _halves(network):
        raise UnsupportedModelError(
            f"the network computes in FP16 already ({halves} of its weights); leave --precision out to serve it as it "
            "is, or export it in FP32"
        )
    for tensor in _weights(network):
        _require_numbers(tensor)


def require_layers(network: Network, groups: Iterable[Group], end: End) -> None:
    """Refuse a network in which nothing can be quantised. Raises ``UnsupportedModelError``."""
    if any(True for _ in groups):
        return
    predicting = [node.op_type for node in network.nodes if node.name in end.predicting]
    if predicting:
        raise UnsupportedModelError(
            f"nothing to quantise: the network's only layers ({', '.join(sorted(set(predicting)))}) make the "
            "predictions themselves, which stay in float; use --precision fp16 or fp32"
        )
    raise UnsupportedModelError(
        "nothing to quantise: the network has no Conv, Gemm or MatMul with weights of its own outside inner graphs; "
        "use --precision fp16 or fp32"
    )


def require_weights(groups: Iterable[Group]) -> None:
    """Refuse a network without weights. Raises ``UnsupportedModelError``."""
    if not any(True for _ in groups):
        raise UnsupportedModelError(
            "nothing to store in FP16: the network has no Conv, Gemm or MatMul with weights of its own; leave "
            "--precision out"
        )


def _halves(network: Network) -> int:
    """Return how many layers have FP16 weights; 0 where those in FP32 are more."""
    layers = [tensor.data_type for tensor in _weights(network)]
    halves = layers.count(_HALF)
    return halves if halves > layers.count(_FLOAT) else 0


def _weights(network: Network) -> Iterator[onnx.TensorProto]:
    for node in network.nodes:
        if weight_of(network, node) is not None:
            yield from constant_inputs(network, node)


def _require_numbers(tensor: onnx.TensorProto) -> None:
    import numpy as np
    from onnx import numpy_helper

    if tensor.data_type not in (_FLOAT, _HALF):
        return
    values = numpy_helper.to_array(tensor)
    if not np.isfinite(values).all():
        bad = math.prod(values.shape) - int(np.isfinite(values).sum())
        raise QuantizationError(
            f"{bad} of the weights {tensor.name} are NaN or infinite: they have no range; train or export it again"
        )
