"""Networks for tests of precision: each has in it what one rule is for."""

from __future__ import annotations

from typing import Any

import models
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


class Net:
    """A graph that grows by one operator at a time; each returns the name of its result."""

    def __init__(self, seed: int = 0, opset: int = 18) -> None:
        self.chance = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def value(self, array: Any, name: str | None = None, dtype: Any = np.float32) -> str:
        name = name or f"constant_{len(self.weights)}"
        self.weights[name] = np.asarray(array, dtype)
        return name

    def conv(self, x: str, channels: int, to: int, *, kernel: int = 1, name: str = "", stride: int = 1) -> str:
        name = name or f"layers.{len(self.nodes)}"
        scale = np.sqrt(2 / (channels * kernel * kernel))
        weight = self.value(self.chance.normal(0, scale, (to, channels, kernel, kernel)), f"{name}.weight")
        bias = self.value(self.chance.normal(0, 0.1, to), f"{name}.bias")
        return self.op("Conv", x, weight, bias, pads=[kernel // 2] * 4, kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def done(self, outputs: dict[str, list[Any]], x: list[Any] | None = None) -> onnx.ModelProto:
        return models.build(
            self.nodes, [("x", FLOAT, x or [models.BATCH, 3, 16, 16])],
            [(name, FLOAT, shape) for name, shape in outputs.items()],
            self.weights, opset=self.opset, ir_version=10,
        )  # fmt: skip


def residual(opset: int = 18) -> onnx.ModelProto:
    """Stem, a residual block, and a head of two branches whose results are put side by side."""
    net = Net(opset=opset)
    stem = net.silu(net.conv("x", 3, 16, kernel=3, name="stem.conv"))
    inner = net.silu(net.conv(stem, 16, 8, name="block.first"))
    body = net.op("Add", stem, net.silu(net.conv(inner, 8, 16, kernel=3, name="block.second")))
    boxes = net.conv(net.silu(net.conv(body, 16, 16, name="head.box.0")), 16, 4, name="head.box.1")
    scores = net.conv(net.silu(net.conv(body, 16, 16, name="head.score.0")), 16, 5, name="head.score.1")
    both = net.op("Concat", net.op("Mul", boxes, net.value(100.0)), net.op("Sigmoid", scores), axis=1)
    net.op("Reshape", both, net.value([0, 9, -1], dtype=np.int64), out="y")
    return net.done({"y": [models.BATCH, 9, 256]})


def squares(scale: float = 300.0) -> onnx.ModelProto:
    """A normalisation by hand: the sum of squares of numbers around ``scale`` is more than FP16 holds."""
    net = Net()
    features = net.op("Mul", net.conv("x", 3, 16, kernel=3, name="stem"), net.value(scale))
    axes = net.value([1], dtype=np.int64)
    total = net.op("ReduceSum", net.op("Mul", features, features), axes, keepdims=1)
    normal = net.op("Div", features, net.op("Sqrt", net.op("Add", total, net.value(1e-9))))
    hidden = net.op("Relu", net.conv(normal, 16, 16, kernel=3, name="body"))
    pooled = net.op("Flatten", net.op("GlobalAveragePool", net.conv(hidden, 16, 5, name="head")))
    net.op("Identity", pooled, out="y")
    return net.done({"y": [models.BATCH, 5]})


def transformer(width: int = 64, blocks: int = 2, batch: int | str = 1) -> onnx.ModelProto:
    """Patches, attention and an MLP for each block, a class for the mean."""
    net = Net()
    patches = net.op("Reshape", net.conv("x", 3, width, kernel=1, stride=4, name="patch"),
                     net.value([0, width, -1], dtype=np.int64))  # fmt: skip
    x = net.op("Transpose", patches, perm=[0, 2, 1])

    def linear(x: str, n: int, m: int, name: str) -> str:
        weight = net.value(net.chance.normal(0, n**-0.5, (n, m)), f"{name}.weight")
        return net.op("Add", net.op("MatMul", x, weight), net.value(net.chance.normal(0, 0.1, m), f"{name}.bias"))

    def norm(x: str, name: str) -> str:
        scale, bias = net.value(np.ones(width), f"{name}.weight"), net.value(np.zeros(width), f"{name}.bias")
        return net.op("LayerNormalization", x, scale, bias, axis=-1)

    for index in range(blocks):
        name = f"blocks.{index}"
        y = norm(x, f"{name}.norm1")
        query, keys, values = (linear(y, width, width, f"{name}.attn.{k}") for k in ("q", "k", "v"))
        scores = net.op("MatMul", query, net.op("Transpose", keys, perm=[0, 2, 1]))
        weights = net.op("Softmax", net.op("Mul", scores, net.value(width**-0.5)), axis=-1)
        x = net.op("Add", x, linear(net.op("MatMul", weights, values), width, width, f"{name}.attn.proj"))
        hidden = net.op("Relu", linear(norm(x, f"{name}.norm2"), width, 2 * width, f"{name}.mlp.fc1"))
        x = net.op("Add", x, linear(hidden, 2 * width, width, f"{name}.mlp.fc2"))
    mean = net.op("ReduceMean", norm(x, "norm"), net.value([1], dtype=np.int64), keepdims=0)
    head = net.value(net.chance.normal(0, width**-0.5, (width, 5)), "head.weight")
    net.op("MatMul", mean, head, out="y")
    return net.done({"y": [batch, 5]}, [batch, 3, 16, 16])


def pictures(count: int = 12, seed: int = 1) -> list[Any]:
    """Smooth noise [1, 3, 16, 16] in [0, 1]."""
    chance = np.random.default_rng(seed)
    return [np.clip(chance.normal(0.5, 0.3, (1, 3, 16, 16)), 0, 1).astype(np.float32) for _ in range(count)]


def numbers(proto: onnx.ModelProto, name: str) -> Any:
    return next(numpy_helper.to_array(t) for t in proto.graph.initializer if t.name == name)
