"""FP16 for what INT8 leaves: a strongly typed TensorRT computes what is not INT8 in the type that the graph says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from kit import dialect
from kit.errors import UnsupportedModelError
from kit.precision import _half_range, _halves, _network, _structure
from kit.precision._network import Network
from kit.precision._structure import End

if TYPE_CHECKING:
    import onnx

    from kit.precision._histogram import Seen

_LEAST_OPSET = 19
"""QuantizeLinear and DequantizeLinear have FP16 from here on."""

_LEAST_SCALE = 2.0**-18
"""FP16 has numbers below 6.1e-5 with few bits; a scale of this size is still within half a percent."""


_CONVERTING = frozenset({"QuantizeLinear", "DequantizeLinear"})


def halved(proto: onnx.ModelProto, before: Network, end: End, seen: Mapping[str, Seen]) -> onnx.ModelProto:
    """Return a graph with Q/DQ with FP16 where numbers fit; ``before`` is the network as it was seen.

    Pre-processing and decoding stay in FP32, as for FP16 alone. The graph is returned as it is where onnx cannot raise
    it to the operators that this needs.
    """
    try:
        proto = dialect.raised(proto, _LEAST_OPSET)
    except UnsupportedModelError:
        return proto
    network = _network.link(proto)
    staying = {*end.decoding, *_structure.before_layers(before)}
    staying |= {node.name for node in before.nodes if _half_range.unfit(before, node, seen)}
    own = {
        node.name
        for node in network.nodes
        if node.name not in staying and node.op_type not in _CONVERTING and _halves.can_be(network, node)
    }
    return _halves.converted(network, {*own, *_conversions(network, own)})


def _conversions(network: Network, own: Collection[str]) -> set[str]:
    """Return the Q that take what FP16 nodes make, and the DQ whose results only FP16 nodes take."""
    found = set()
    for node in network.nodes:
        if node.op_type == "QuantizeLinear":
            near = network.before(node)
        elif node.op_type == "DequantizeLinear":
            near = list(network.takers.get(node.output[0], ()))
        else:
            continue
        if near and all(other.name in own for other in near) and _scale_fits(network, node):
            found.add(node.name)
    return found


def _scale_fits(network: Network, node: onnx.NodeProto) -> bool:
    from onnx import numpy_helper

    scale = network.constants.get(node.input[1])
    return scale is not None and bool((numpy_helper.to_array(scale) >= _LEAST_SCALE).all())
