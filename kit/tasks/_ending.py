"""How a network ends: the operation that made an output's numbers, known also where it was written out by hand.

Softmax and normalisation to length 1 are often several operators: ``torch.nn.functional.normalize`` is exported as
ReduceL2, Clip and Div, TensorFlow's as Mul, ReduceSum, Max, Sqrt and Div.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.types import Model

if TYPE_CHECKING:
    import onnx

_FORM_ONLY = frozenset(
    {"Cast", "DequantizeLinear", "Dropout", "Expand", "Flatten", "Gather", "Identity", "QuantizeLinear", "Reshape",
     "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)  # fmt: skip
_DEEPEST = 12
"""Operators between a division and what it divides by: those that are exported by hand have fewer."""


class Ending(enum.Enum):
    """An operation at the end of a network."""

    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log-softmax"
    SIGMOID = "sigmoid"
    ARGMAX = "argmax"
    UNIT_LENGTH = "a division by its length"
    BATCH_NORM = "batch normalisation"
    LAYER_NORM = "layer normalisation"
    LINEAR = "a linear layer"
    CONVOLUTION = "a convolution"
    POOLING = "pooling"
    ACTIVATION = "an activation"
    OTHER = "another operation"


_SIMPLE = {
    "Softmax": Ending.SOFTMAX,
    "LogSoftmax": Ending.LOG_SOFTMAX,
    "Sigmoid": Ending.SIGMOID,
    "HardSigmoid": Ending.SIGMOID,
    "ArgMax": Ending.ARGMAX,
    "LpNormalization": Ending.UNIT_LENGTH,
    "BatchNormalization": Ending.BATCH_NORM,
    "LayerNormalization": Ending.LAYER_NORM,
    "SkipLayerNormalization": Ending.LAYER_NORM,
    "Gemm": Ending.LINEAR,
    "MatMul": Ending.LINEAR,
    "MatMulInteger": Ending.LINEAR,
    "QLinearMatMul": Ending.LINEAR,
    "QGemm": Ending.LINEAR,
    "Conv": Ending.CONVOLUTION,
    "QLinearConv": Ending.CONVOLUTION,
    **dict.fromkeys(
        ("GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "ReduceMean", "ReduceMax",
         "QLinearGlobalAveragePool"), Ending.POOLING
    ),
    **dict.fromkeys(
        ("Relu", "LeakyRelu", "PRelu", "Clip", "Elu", "Selu", "Gelu", "Tanh", "HardSwish", "Mish", "Softplus"),
        Ending.ACTIVATION,
    ),
}  # fmt: skip


_KEPT_BY_CONSTANTS = frozenset(
    {Ending.LAYER_NORM, Ending.BATCH_NORM, Ending.LINEAR, Ending.CONVOLUTION, Ending.POOLING}
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """How an output was made: the operation, and the axis of a softmax or argmax as the graph writes it."""

    ending: Ending
    operator: str
    axis: int | None = None
    tensor: str = ""

    @property
    def phrase(self) -> str:
        """The ending in words, for messages."""
        known = self.ending is not Ending.OTHER
        return f"ends in {self.ending.value if known else self.operator or 'its own input'}"


def of(model: Model, output: int = 0) -> Found:
    """Return how an output of the model was made. Reads the file, without weights that lie beside it."""
    return _read(model.path, model.digest, output)


@functools.lru_cache(maxsize=4)  # each task asks for the same
def _read(path: Path, digest: str, output: int) -> Found:  # noqa: ARG001 (the digest tells files apart)
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return _Reader(graph).found(graph.output[output].name)


class _Reader:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {name: node for node in graph.node for name in node.output}
        self._constants = {t.name for t in graph.initializer}

    def found(self, name: str) -> Found:
        node = self._maker(name)
        if node is None:
            return Found(ending=Ending.OTHER, operator="")
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), None)
        return Found(ending=self._ending(node), operator=node.op_type, axis=axis, tensor=node.input[0])

    def _ending(self, node: onnx.NodeProto) -> Ending:
        if node.op_type in _SIMPLE:
            return _SIMPLE[node.op_type]
        if node.op_type in ("Div", "Mul") and (whole := self._ratio(node)) is not None:
            return whole
        varying = [name for name in node.input if not self._is_constant(name)]
        if node.op_type in ("Add", "Mul", "Div", "Sub") and len(varying) == 1:
            return self._shifted(varying[0])
        return Ending.OTHER

    def _shifted(self, name: str) -> Ending:
        """Return what an operator with a constant leaves of the ending before it: a bias is part of a layer."""
        inner = self._maker(name)
        ending = self._ending(inner) if inner is not None else Ending.OTHER
        return ending if ending in _KEPT_BY_CONSTANTS else Ending.OTHER

    def _ratio(self, node: onnx.NodeProto) -> Ending | None:
        """Tell what ``x / f(x)`` is by the operators of ``f``; ``x * (1 / f(x))`` is the same."""
        for value, divisor in ((0, 1), (1, 0)) if node.op_type == "Mul" else ((0, 1),):
            operators = set(self._between(node.input[divisor], node.input[value]))
            if node.op_type == "Mul" and not operators & {"Reciprocal", "Pow", "Div"}:
                continue
            if (found := self._by_divisor(node.input[value], operators)) is not None:
                return found
        return None

    def _by_divisor(self, value: str, operators: set[str]) -> Ending | None:
        made = self._maker(value)
        if "ReduceSum" in operators and made is not None and made.op_type == "Exp":
            return Ending.SOFTMAX
        rooted = bool(operators & {"Sqrt", "Pow"})
        if "ReduceL2" in operators or (rooted and operators & {"ReduceSum", "ReduceSumSquare"}):
            return Ending.UNIT_LENGTH
        return Ending.LAYER_NORM if rooted and "ReduceMean" in operators else None

    def _between(self, name: str, source: str) -> Iterator[str]:
        """Yield the operators from ``name`` back to ``source``; nothing where they do not meet."""
        waiting, seen, met = [(name, 0)], {name}, False
        operators = []
        while waiting:
            current, depth = waiting.pop()
            met = met or current == source
            node = self._makers.get(current)
            if node is None or current == source or depth == _DEEPEST:
                continue
            operators.append(node.op_type)
            waiting += [(taken, depth + 1) for taken in node.input if taken not in seen]
            seen.update(node.input)
        return iter(operators if met else ())

    def _maker(self, name: str) -> onnx.NodeProto | None:
        """Return the operator that made a tensor's numbers, behind those that only change its form."""
        while (node := self._makers.get(name)) is not None and node.op_type in _FORM_ONLY:
            name = node.input[0]
        return node

    def _is_constant(self, name: str) -> bool:
        """Tell whether a tensor depends on no input: a weight, or what is made of weights alone."""
        node = self._makers.get(name)
        if node is None:
            return name in self._constants
        return node.op_type == "Constant" or bool(
            node.op_type in _FORM_ONLY and node.input and self._is_constant(node.input[0])
        )
