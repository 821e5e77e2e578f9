"""A detector of YOLO11n's size and structure with random weights, for measuring: 6.5 GFLOP at 640x640, 2.6 M weights.

Layers follow https://github.com/ultralytics/ultralytics/blob/main/ultralytics/cfg/models/11/yolo11.yaml (scale n,
batch normalisation folded). It takes UINT8 frames ``images [N, 640, 640, 3]`` and gives ``detections
[N, 100, 6] FP32``: the 100 best of 8400 anchors as box, score and class, without suppression.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

SIDE = 640
_CLASSES, _BINS, _KEPT = 80, 16, 100


@dataclass
class _Graph:
    """Collects nodes; a tensor is its name. Counts multiply-adds of convolutions."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    multiply_adds: int = 0
    parameters: int = 0
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def split(self, tensor: str, sizes: list[int], axis: int = 1) -> list[str]:
        names = [f"split_{len(self.nodes)}_{i}" for i in range(len(sizes))]
        lengths = self.constant(np.array(sizes, np.int64))
        self.nodes.append(helper.make_node("Split", [tensor, lengths], names, axis=axis))
        return names

    def constant(self, array: Any) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def conv(
        self, x: _Map, channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, activate: bool = True
    ) -> _Map:
        shape = (channels, x.channels // groups, kernel, kernel)
        scale = np.sqrt(2.0 / np.prod(shape[1:]))
        weight = self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))
        bias = self.constant(np.zeros(channels, np.float32))
        side = x.side // stride
        self.parameters += int(np.prod(shape)) + channels
        self.multiply_adds += int(np.prod(shape)) * side * side
        pads, sizes = [kernel // 2] * 4, {"kernel_shape": [kernel] * 2, "strides": [stride] * 2}
        name = self.node("Conv", x.name, weight, bias, group=groups, pads=pads, **sizes)
        if activate:
            name = self.node("Mul", name, self.node("Sigmoid", name))
        return _Map(name, channels, side)


@dataclass(frozen=True)
class _Map:
    """A feature map ``[N, channels, side, side]``."""

    name: str
    channels: int
    side: int


def _concat(g: _Graph, *maps: _Map) -> _Map:
    return _Map(g.node("Concat", *(m.name for m in maps), axis=1), sum(m.channels for m in maps), maps[0].side)


def _bottleneck(g: _Graph, x: _Map, hidden: int, channels: int) -> _Map:
    out = g.conv(g.conv(x, hidden, 3), channels, 3)
    return _Map(g.node("Add", x.name, out.name), channels, x.side)


def _c3k(g: _Graph, x: _Map, channels: int) -> _Map:
    hidden = channels // 2
    y = g.conv(x, hidden)
    for _ in range(2):
        y = _bottleneck(g, y, hidden, hidden)
    return g.conv(_concat(g, y, g.conv(x, hidden)), channels)


def _c3k2(g: _Graph, x: _Map, channels: int, *, c3k: bool, expansion: float = 0.5) -> _Map:
    hidden = int(channels * expansion)
    both = g.conv(x, 2 * hidden)
    first, second = (_Map(name, hidden, x.side) for name in g.split(both.name, [hidden, hidden]))
    third = _c3k(g, second, hidden) if c3k else _bottleneck(g, second, hidden // 2, hidden)
    return g.conv(_concat(g, first, second, third), channels)


def _sppf(g: _Graph, x: _Map) -> _Map:
    parts = [g.conv(x, x.channels // 2)]
    for _ in range(3):
        pooled = g.node("MaxPool", parts[-1].name, kernel_shape=[5, 5], pads=[2] * 4, strides=[1, 1])
        parts.append(_Map(pooled, x.channels // 2, x.side))
    return g.conv(_concat(g, *parts), x.channels)


def _c2psa(g: _Graph, x: _Map) -> _Map:
    hidden = x.channels // 2
    left, right = (_Map(n, hidden, x.side) for n in g.split(g.conv(x, 2 * hidden).name, [hidden, hidden]))
    right = _Map(g.node("Add", right.name, _attention(g, right).name), hidden, x.side)
    forward = g.conv(g.conv(right, 2 * hidden), hidden, activate=False)
    right = _Map(g.node("Add", right.name, forward.name), hidden, x.side)
    return g.conv(_concat(g, left, right), x.channels)


def _attention(g: _Graph, x: _Map) -> _Map:
    heads, key = x.channels // 64, 32
    pixels = x.side * x.side
    mixed = g.conv(x, x.channels + 2 * heads * key, activate=False).name
    flat = g.node("Reshape", mixed, g.constant(np.array([-1, heads, 2 * key + 64, pixels], np.int64)))
    query, keys, values = g.split(flat, [key, key, 64], axis=2)
    scores = g.node("MatMul", g.node("Transpose", query, perm=[0, 1, 3, 2]), keys)
    weights = g.node("Softmax", g.node("Mul", scores, g.constant(np.float32(key**-0.5))), axis=-1)
    mixed = g.node("MatMul", values, g.node("Transpose", weights, perm=[0, 1, 3, 2]))
    g.multiply_adds += heads * pixels * pixels * (key + 64)
    image = g.constant(np.array([-1, x.channels, x.side, x.side], np.int64))
    seen = _Map(g.node("Reshape", mixed, image), x.channels, x.side)
    place = g.conv(_Map(g.node("Reshape", values, image), x.channels, x.side), x.channels, 3, groups=x.channels,
                   activate=False)  # fmt: skip
    return g.conv(_Map(g.node("Add", seen.name, place.name), x.channels, x.side), x.channels, activate=False)


def _upsample(g: _Graph, x: _Map) -> _Map:
    scales = g.constant(np.array([1, 1, 2, 2], np.float32))
    name = g.node("Resize", x.name, "", scales, mode="nearest", nearest_mode="floor",
                  coordinate_transformation_mode="asymmetric")  # fmt: skip
    return _Map(name, x.channels, x.side * 2)


def _backbone(g: _Graph, x: _Map) -> tuple[_Map, _Map, _Map]:
    x = g.conv(g.conv(x, 16, 3, 2), 32, 3, 2)
    x = g.conv(_c3k2(g, x, 64, c3k=False, expansion=0.25), 64, 3, 2)
    third = _c3k2(g, x, 128, c3k=False, expansion=0.25)
    fourth = _c3k2(g, g.conv(third, 128, 3, 2), 128, c3k=True)
    fifth = _c3k2(g, g.conv(fourth, 256, 3, 2), 256, c3k=True)
    return third, fourth, _c2psa(g, _sppf(g, fifth))


def _neck(g: _Graph, third: _Map, fourth: _Map, fifth: _Map) -> tuple[_Map, _Map, _Map]:
    middle = _c3k2(g, _concat(g, _upsample(g, fifth), fourth), 128, c3k=False)
    small = _c3k2(g, _concat(g, _upsample(g, middle), third), 64, c3k=False)
    medium = _c3k2(g, _concat(g, g.conv(small, 64, 3, 2), middle), 128, c3k=False)
    large = _c3k2(g, _concat(g, g.conv(medium, 128, 3, 2), fifth), 256, c3k=True)
    return small, medium, large


def _level(g: _Graph, x: _Map) -> str:
    """Return one level's boxes and scores ``[N, 4 * bins + classes, cells]``."""
    box = g.conv(g.conv(g.conv(x, 64, 3), 64, 3), 4 * _BINS, activate=False)
    y = g.conv(g.conv(x, x.channels, 3, groups=x.channels), _CLASSES)
    y = g.conv(g.conv(y, _CLASSES, 3, groups=_CLASSES), _CLASSES)
    both = _concat(g, box, g.conv(y, _CLASSES, activate=False))
    return g.node("Reshape", both.name, g.constant(np.array([0, both.channels, -1], np.int64)))


def _decode(g: _Graph, levels: list[str], cells: int) -> None:
    """Turn the levels into the best anchors' box, score and class."""
    box, logits = g.split(g.node("Concat", *levels, axis=2), [4 * _BINS, _CLASSES])
    bins = g.node("Reshape", box, g.constant(np.array([0, 4, _BINS, cells], np.int64)))
    numbers = g.constant(np.arange(_BINS, dtype=np.float32).reshape(1, 1, _BINS, 1))
    axes = g.constant(np.array([2], np.int64))
    boxes = g.node("ReduceSum", g.node("Mul", g.node("Softmax", bins, axis=2), numbers), axes, keepdims=0)
    scores = g.node("Sigmoid", logits)
    best = g.node("ReduceMax", scores, axes=[1], keepdims=1)
    label = g.node("Cast", g.node("ArgMax", scores, axis=1, keepdims=1), to=TensorProto.FLOAT)
    g.nodes.append(helper.make_node("TopK", [best, g.constant(np.array([_KEPT], np.int64))], ["top", "where"], axis=2))
    rows = g.node("Transpose", g.node("Concat", boxes, best, label, axis=1), perm=[0, 2, 1])
    index = g.node("Expand", g.node("Transpose", "where", perm=[0, 2, 1]), g.constant(np.array([1, 1, 6], np.int64)))
    g.nodes.append(helper.make_node("GatherElements", [rows, index], ["detections"], axis=1))


def build() -> ModelProto:
    """Return the model; raises ``AssertionError`` where it is not of YOLO11n's size."""
    g = _Graph()
    frames = g.node("Transpose", g.node("Cast", "images", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    pixels = _Map(g.node("Mul", frames, g.constant(np.float32(1 / 255))), 3, SIDE)
    levels = _neck(g, *_backbone(g, pixels))
    _decode(g, [_level(g, level) for level in levels], sum(level.side**2 for level in levels))
    assert 6.2e9 < 2 * g.multiply_adds < 6.8e9, f"{2 * g.multiply_adds / 1e9:.2f} GFLOP"
    assert 2.4e6 < g.parameters < 2.8e6, f"{g.parameters / 1e6:.2f} M weights"
    graph = helper.make_graph(
        g.nodes,
        "yolo_sized",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["batch", _KEPT, 6])],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model
