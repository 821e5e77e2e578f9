"""Small networks in ONNX's text form, with weights that look trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

CHANNELS = 4

BRANCHES = """
<ir_version: 8, opset_import: ["": 18]>
net (float[N, 3, 8, 8] images) => (float[N, 2, 8, 8] left, float[N, 2, 8, 8] right)
{
  stem = Conv <pads = [1, 1, 1, 1]> (images, stem__conv__weight, stem__conv__bias)
  norm = BatchNormalization (stem, stem__norm__weight, stem__norm__bias, stem__norm__running_mean,
                             stem__norm__running_var)
  active = Relu (norm)
  deep = Conv <pads = [1, 1, 1, 1]> (active, body__0__weight, body__0__bias)
  sum = Add (deep, active)
  a = Conv (sum, head__left__weight, head__left__bias)
  b = Conv (sum, head__right__weight, head__right__bias)
  left = Identity (a)
  right = Sigmoid (b)
}
"""

_SHAPES = {
    "stem.conv.weight": (CHANNELS, 3, 3, 3), "stem.conv.bias": (CHANNELS,), "stem.norm.weight": (CHANNELS,),
    "stem.norm.bias": (CHANNELS,), "stem.norm.running_mean": (CHANNELS,), "stem.norm.running_var": (CHANNELS,),
    "body.0.weight": (CHANNELS, CHANNELS, 3, 3), "body.0.bias": (CHANNELS,),
    "head.left.weight": (2, CHANNELS, 1, 1), "head.left.bias": (2,),
    "head.right.weight": (2, CHANNELS, 1, 1), "head.right.bias": (2,),
}  # fmt: skip


def branches(seed: int = 0) -> onnx.ModelProto:
    """Two heads on one body: siblings that only their weights tell apart."""
    model = onnx.parser.parse_model(BRANCHES)
    for node in model.graph.node:
        node.input[:] = [name.replace("__", ".") for name in node.input]
    chance = np.random.default_rng(seed)
    for name, shape in _SHAPES.items():
        values = chance.normal(0, 0.5, shape)
        values = np.abs(values) + 0.5 if name.endswith(("running_var", "norm.weight")) else values
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.checker.check_model(model, full_check=True)
    return model


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with no name as it was, but for what it takes and gives."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    kept = {value.name for value in (*made.graph.input, *made.graph.output)}
    names: dict[str, str] = {"": ""}

    def name_of(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"t{len(names)}")

    for tensor in reversed(made.graph.initializer):
        tensor.name = name_of(tensor.name)
    for node in made.graph.node:
        node.name = ""
        node.input[:] = [name_of(name) for name in node.input]
        node.output[:] = [name_of(name) for name in node.output]
    return made


def changed(model: onnx.ModelProto, weight: str, factor: float = 2.0) -> onnx.ModelProto:
    """The same with one tensor of weights multiplied."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        if tensor.name == weight:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), weight))
    return made


def written(model: onnx.ModelProto, path: Path) -> str:
    onnx.save(model, str(path))
    return str(path)
