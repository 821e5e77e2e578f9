"""Tiny ONNX models, each the smallest that shows what it is named for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
BATCH = "batch"

Shape = Sequence[int | str]


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Shape]],
    outputs: Sequence[tuple[str, int, Shape]],
    weights: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    ir_version: int = 8,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Build a model; inputs and outputs are ``(name, element type, shape)``."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    helper.set_model_props(model, metadata or {})
    return model


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def scale(factor: float = 2.0, *, batch: int | str = BATCH, opset: int = 17, width: int = 4) -> onnx.ModelProto:
    """``y = x * factor``: the tiniest model there is; its bytes change with the factor."""
    return build(
        [node("Mul", "x factor", "y")],
        [("x", FLOAT, (batch, width))],
        [("y", FLOAT, (batch, width))],
        {"factor": np.float32(factor)},
        opset=opset,
    )


def classifier(
    classes: int = 3,
    *,
    softmax: bool = False,
    batch: int | str = BATCH,
    channels: int = 3,
    side: int = 8,
    element: int = FLOAT,
    layout: str = "NCHW",
    opset: int = 17,
    seed: int = 0,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Mean over the picture, one linear layer, FP32 scores [N, classes]."""
    picture = (batch, channels, side, side + 2) if layout == "NCHW" else (batch, side, side + 2, channels)
    last = "x"
    nodes = []
    if element != FLOAT:
        nodes, last = [node("Cast", "x", "f", to=FLOAT)], "f"
    if layout != "NCHW":
        nodes, last = [*nodes, node("Transpose", last, "t", perm=[0, 3, 1, 2])], "t"
    nodes += [
        node("GlobalAveragePool", last, "m"),
        node("Flatten", "m", "v"),
        node("MatMul", "v w", "s"),
        node("Add", "s b", "scores" if not softmax else "logits"),
    ]
    if softmax:
        nodes.append(node("Softmax", "logits", "scores", axis=-1))
    generator = np.random.default_rng(seed)
    weights = {
        "w": generator.normal(size=(channels, classes)).astype(np.float32),
        "b": generator.normal(size=classes).astype(np.float32),
    }
    return build(nodes, [("x", element, picture)], [("scores", FLOAT, (batch, classes))], weights,
                 opset=opset, metadata=metadata)  # fmt: skip


def detector(
    classes: int = 2,
    anchors: int = 40,
    *,
    batch: int | str = BATCH,
    channels: int = 3,
    side: int = 16,
    element: int = FLOAT,
    layout: str = "NCHW",
    opset: int = 17,
    seed: int = 0,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """A YOLOv8 head [N, 4 + classes, anchors]: fixed boxes whose scores depend on the picture."""
    generator = np.random.default_rng(seed)
    centre = generator.uniform(0, side, (2, anchors))
    size = generator.uniform(2, side, (2, anchors))
    scores = generator.uniform(0, 0.75, (classes, anchors))
    base = np.concatenate([centre, size, scores])[None].astype(np.float32)
    reach = np.concatenate([np.zeros((4, anchors)), generator.uniform(0, 0.25, (classes, anchors))])[None].astype(
        np.float32
    )
    picture = (batch, channels, side, side) if layout == "NCHW" else (batch, side, side, channels)
    weights = {"base": base, "reach": reach, "one": np.array([[[1.0]]], np.float32)}
    nodes = [node("Cast", "images", "f", to=FLOAT)] if element != FLOAT else []
    mean = {"axes": [1, 2, 3]} if opset < 18 else {}
    if opset >= 18:
        weights["axes"] = np.array([1, 2, 3], np.int64)
    nodes.append(node("ReduceMean", ("f" if element != FLOAT else "images") + (" axes" if opset >= 18 else ""), "m4",
                      keepdims=1, **mean))  # fmt: skip
    weights["flat"] = np.array([-1, 1, 1], np.int64)
    nodes += [node("Reshape", "m4 flat", "m"), node("Mul", "m reach", "r"), node("Add", "base r", "output0")]
    return build(nodes, [("images", element, picture)], [("output0", FLOAT, (batch, 4 + classes, anchors))], weights,
                 opset=opset, metadata=metadata)  # fmt: skip


def two_inputs() -> onnx.ModelProto:
    """Raw: FP32 and INT64 in, two outputs, one of them one number for each element of the batch."""
    return build(
        [
            node("Cast", "count", "c", to=FLOAT),
            node("Add", "x c", "sum"),
            node("ReduceSum", "count axis", "total", keepdims=0),
        ],
        [("x", FLOAT, (BATCH, 5)), ("count", TensorProto.INT64, (BATCH, 5))],
        [("sum", FLOAT, (BATCH, 5)), ("total", TensorProto.INT64, (BATCH,))],
        {"axis": np.array([1], np.int64)},
    )


def text_model() -> onnx.ModelProto:
    """Strings in, the same strings out."""
    return build([node("Identity", "t", "u")], [("t", TensorProto.STRING, (BATCH, 2))],
                 [("u", TensorProto.STRING, (BATCH, 2))])  # fmt: skip


def mixes_the_batch() -> onnx.ModelProto:
    """Each answer depends on the other elements of the batch."""
    return build(
        [node("ReduceMean", "x", "m", axes=[0], keepdims=1), node("Sub", "x m", "y")],
        [("x", FLOAT, (BATCH, 4))],
        [("y", FLOAT, (BATCH, 4))],
    )


def only_runs_alone() -> onnx.ModelProto:
    """Says that its batch is free and is hard-coded to 1 inside, as many exports are."""
    return build(
        [node("Reshape", "x one", "r"), node("Relu", "r", "y")],
        [("x", FLOAT, (BATCH, 4))],
        [("y", FLOAT, (BATCH, 4))],
        {"one": np.array([1, 4], np.int64)},
    )


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path
