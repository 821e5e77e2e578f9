"""What a network's nodes do, seen from its graph alone: what has weights, what predicts, what only decodes.

Names are not looked at: they are the exporter's. What is found here stays in float, because a whole network's answer
hangs on few numbers there: box coordinates and scores that share a scale, the distribution of distances (DFL), NMS.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.precision._network import Network

if TYPE_CHECKING:
    import onnx

_LEARNED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_FEW = 1024
"""Weights of a layer that may be somebody's arithmetic: the sum over DFL's bins is a convolution by 0, 1 ... 15."""


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of a network, by node name: ``predicting`` layers give the raw predictions, ``decoding`` follows them."""

    predicting: frozenset[str]
    decoding: frozenset[str]

    @property
    def nodes(self) -> frozenset[str]:
        """All of it."""
        return self.predicting | self.decoding


def weight_of(network: Network, node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return a learned layer's weights; None for a node that is none, as the product of two activations."""
    if node.op_type not in _LEARNED or len(network.fed(node)) == 0:
        return None
    known = [network.constants[name] for name in node.input[:2] if name in network.constants]
    if len(known) != 1 or len(known[0].dims) < 2 or _is_arithmetic(known[0]):
        return None
    return known[0]


def _is_arithmetic(tensor: onnx.TensorProto) -> bool:
    """Tell whether weights are whole numbers, as no training leaves them."""
    import numpy as np
    from onnx import numpy_helper

    if math.prod(tensor.dims) > _FEW:
        return False
    values = numpy_helper.to_array(tensor)
    return bool(np.array_equal(values, np.round(values)))


def end_of(network: Network) -> End:
    """Walk from the outputs back to the layers that make raw predictions.

    The walk ends at each learned layer, and where a path joins one that it came from (a residual Add, dense
    connections): what lies behind is the network's body, not its end.
    """
    predicting: dict[str, onnx.NodeProto] = {}
    decoding: dict[str, onnx.NodeProto] = {}
    todo = [network.makers[name] for name in network.outputs if name in network.makers]
    while todo:
        node = todo.pop()
        if node.name in predicting or node.name in decoding:
            continue
        if weight_of(network, node) is not None:
            predicting[node.name] = node
            continue
        decoding[node.name] = node
        if not _rejoins(network, node):
            todo += network.before(node)
    return End(predicting=frozenset(predicting), decoding=frozenset(decoding))


def is_silu(network: Network, tensor: str) -> bool:
    """Tell whether a tensor is taken only as ``x * sigmoid(x)``."""
    takers = network.takers.get(tensor, ())
    gates = [node for node in takers if node.op_type == "Sigmoid"]
    if len(takers) != 2 or not gates or tensor in network.outputs:
        return False
    return any(node.op_type == "Mul" and gates[0].output[0] in node.input for node in takers)


def before_layers(network: Network) -> frozenset[str]:
    """Return the names of the nodes that no learned layer comes before: they prepare what the network takes."""
    behind: set[str] = set()
    found = set()
    for node in network.nodes:
        if weight_of(network, node) is not None or behind & set(node.input):
            behind |= set(node.output)
        else:
            found.add(node.name)
    return frozenset(found)


def _rejoins(network: Network, node: onnx.NodeProto) -> bool:
    """Tell whether one of a node's inputs is what another was computed from, through learned layers."""
    fed = network.fed(node)
    if len(fed) < 2:
        return False
    return any(_behind_layers(network, name) & (set(fed) - {name}) for name in fed)


def _behind_layers(network: Network, tensor: str) -> set[str]:
    """Return the tensors from which ``tensor`` was computed with at least one learned layer between."""
    found: set[str] = set()
    seen: set[tuple[str, bool]] = set()
    todo: list[tuple[str, bool]] = [(tensor, False)]
    while todo:
        name, learned = todo.pop()
        if (name, learned) in seen:
            continue
        seen.add((name, learned))
        if learned:
            found.add(name)
        maker = network.makers.get(name)
        if maker is not None:
            after = learned or weight_of(network, maker) is not None
            todo += [(source, after) for source in network.fed(maker)]
    return found


def layers(network: Network, apart: Iterable[str]) -> list[onnx.NodeProto]:
    """Return the learned layers in FP32 that are not ``apart``, and whose tensors no inner graph takes."""
    left = set(apart)
    return [
        node
        for node in network.nodes
        if node.name not in left
        and (weight := weight_of(network, node)) is not None
        and weight.data_type == 1
        and all(network.is_float(name) for name in (network.fed(node)[0], node.output[0]))
        and not network.captured & {*node.input, *node.output}
    ]
