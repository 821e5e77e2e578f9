"""Which nodes' numbers do not fit into FP16, from what was seen of them on real pictures.

FP16 has 11 bits of precision from 6.1e-5 to 65504; below it loses them one by one, above there is nothing. Pictures
that were not seen may go further than those that were: there is a margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kit.precision._network import Network, constant_inputs

if TYPE_CHECKING:
    import onnx

    from kit.precision._histogram import Seen

LARGEST = 65504.0
SMALLEST = 2.0**-14
"""Numbers below are subnormal: they have fewer bits the smaller they are, and none below 6e-8."""

_MARGIN = 8
_SUMS = frozenset({"ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool", "ReduceL1", "CumSum"})
_SQUARES = frozenset({"ReduceSumSquare", "ReduceL2", "GlobalLpPool", "LpPool"})
_VARIANCES = frozenset({"LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
                        "RMSNormalization", "MeanVarianceNormalization"})  # fmt: skip


def unfit(network: Network, node: onnx.NodeProto, seen: Mapping[str, Seen]) -> str | None:
    """Say in a few words why a node's numbers do not fit; None where they do."""
    values = [seen[name] for name in (*node.input, *node.output) if name in seen]
    if any(value.largest * _MARGIN > LARGEST for value in values):
        return "would overflow FP16"
    if any(0 < value.largest < SMALLEST for value in values):
        return "would vanish in FP16"
    if any(not fits(tensor) for tensor in constant_inputs(network, node) if tensor.data_type == 1):
        return "has constants outside FP16"
    if _sum_inside(network, node, seen) > LARGEST:
        return "adds up to more than FP16 holds"
    return None


def fits(tensor: onnx.TensorProto) -> bool:
    """Tell whether a constant keeps its values: neither too large, nor all of it too small."""
    import numpy as np
    from onnx import numpy_helper

    largest = float(np.max(np.abs(numpy_helper.to_array(tensor)), initial=0.0))
    return largest == 0 or SMALLEST <= largest <= LARGEST


def _sum_inside(network: Network, node: onnx.NodeProto, seen: Mapping[str, Seen]) -> float:
    """Return the largest number that may arise inside a reduction, where a backend adds in FP16."""
    fed = [name for name in network.fed(node) if name in seen]
    if not fed or node.op_type not in _SUMS | _SQUARES | _VARIANCES:
        return 0.0
    largest = seen[fed[0]].largest
    if node.op_type in _VARIANCES:
        return largest**2
    depth = _depth(network.shapes.get(fed[0], ()), network.shapes.get(node.output[0], ()))
    return depth * (largest if node.op_type in _SUMS else largest**2)


def _depth(before: tuple[int, ...], after: tuple[int, ...]) -> float:
    """Return how many values one result is made of; free sizes count as one, for they mostly stay."""
    size, left = (math.prod(abs(d) for d in shape) for shape in (before, after))
    return size / max(1, left)
