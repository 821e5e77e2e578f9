"""Multiply-accumulates: by hand for each operator, and for real networks what their papers say."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import node

from kit import flops

LIGHT = Path(str(importlib.util.find_spec("onnx").submodule_search_locations[0])) / "backend/test/data/light"  # type: ignore[union-attr, index]


def counted(
    operator: onnx.NodeProto, inputs: dict[str, tuple[int, ...]], weights: dict[str, tuple[int, ...]], opset: int = 17
) -> int | None:
    proto = models.build(
        [operator],
        [(name, models.FLOAT, tuple(f"d{name}{i}" for i in range(len(shape)))) for name, shape in inputs.items()],
        [("y", models.FLOAT, tuple(f"y{i}" for i in range(len(next(iter(inputs.values()))))))],
        {name: np.zeros(shape, np.float32) for name, shape in weights.items()},
        opset=opset,
    )
    return flops.count(proto, inputs).macs


@pytest.mark.parametrize(
    ("operator", "inputs", "weights", "macs"),
    [
        (node("Conv", "x w", "y"), {"x": (1, 3, 8, 8)}, {"w": (5, 3, 3, 3)}, 5 * 6 * 6 * 3 * 9),
        (node("Conv", "x w", "y", group=4), {"x": (1, 4, 8, 8)}, {"w": (4, 1, 3, 3)}, 4 * 6 * 6 * 9),
        (node("Conv", "x w", "y", strides=[2, 2]), {"x": (2, 3, 8, 8)}, {"w": (5, 3, 2, 2)}, 2 * 5 * 4 * 4 * 3 * 4),
        (node("ConvTranspose", "x w", "y", strides=[2, 2]), {"x": (1, 3, 4, 4)}, {"w": (3, 5, 2, 2)}, 3 * 16 * 5 * 4),
        (node("Gemm", "x w", "y"), {"x": (2, 7)}, {"w": (7, 5)}, 2 * 7 * 5),
        (node("Gemm", "x w", "y", transA=1, transB=1), {"x": (7, 2)}, {"w": (5, 7)}, 2 * 7 * 5),
        (node("MatMul", "x w", "y"), {"x": (2, 3, 4, 7)}, {"w": (7, 5)}, 2 * 3 * 4 * 7 * 5),
        (node("MatMul", "x z", "y"), {"x": (2, 3, 4, 7), "z": (2, 3, 7, 4)}, {}, 2 * 3 * 4 * 7 * 4),
        (node("Einsum", "x z", "y", equation="nij,njk->nik"), {"x": (2, 3, 4), "z": (2, 4, 5)}, {}, 2 * 3 * 4 * 5),
        (node("Relu", "x", "y"), {"x": (1, 3)}, {}, 0),
    ],
)  # fmt: skip
def test_of_one_operator(
    operator: onnx.NodeProto, inputs: dict[str, tuple[int, ...]], weights: dict[str, tuple[int, ...]], macs: int
) -> None:
    assert counted(operator, inputs, weights) == macs


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(3, 9), st.integers(1, 3))
def test_of_a_convolution_grows_with_the_batch_and_not_with_groups_apart(
    batch: int, outputs: int, inputs: int, side: int, kernel: int
) -> None:
    one = counted(node("Conv", "x w", "y"), {"x": (1, inputs, side, side)}, {"w": (outputs, inputs, kernel, kernel)})
    many = counted(
        node("Conv", "x w", "y"), {"x": (batch, inputs, side, side)}, {"w": (outputs, inputs, kernel, kernel)}
    )
    assert one == outputs * inputs * math.prod([(side - kernel + 1), (side - kernel + 1), kernel, kernel])
    assert many == batch * one


@pytest.mark.parametrize(
    ("name", "giga"),
    [  # GFLOPS of https://docs.pytorch.org/vision/stable/models.html, which counts multiply-accumulates
        ("light_resnet50", 4.09),
        ("light_vgg19", 19.63),
        ("light_densenet121", 2.83),
        ("light_squeezenet", 0.35),
    ],
)
def test_of_networks_is_what_is_published(name: str, giga: float) -> None:
    proto = onnx.load(str(LIGHT / f"{name}.onnx"))
    weights = {t.name for t in proto.graph.initializer}
    (picture,) = [v.name for v in proto.graph.input if v.name not in weights]
    cost = flops.count(proto, {picture: (1, 3, 224, 224)})
    assert cost.macs is not None
    assert round(cost.macs / 1e9, 2) == giga
    assert cost.flops == 2 * cost.macs


def test_shapes_that_depend_on_shapes_are_followed() -> None:
    """A Reshape to what Shape says, as exporters write Flatten."""
    proto = models.build(
        [
            node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Unsqueeze", "n axis", "n1"),
            node("Concat", "n1 minus", "to", axis=0), node("Reshape", "x to", "f"), node("MatMul", "f w", "y"),
        ],
        [("x", models.FLOAT, ("n", 3, "h", "w"))],
        [("y", models.FLOAT, ("n", 5))],
        {"zero": np.int64(0), "axis": np.array([0]), "minus": np.array([-1]), "w": np.zeros((12, 5), np.float32)},
    )  # fmt: skip
    assert flops.count(proto, {"x": (4, 3, 2, 2)}).macs == 4 * 12 * 5


def test_of_onnx_runtimes_own_quantised_operators_is_that_of_the_network_before(tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = 2

        def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[type-arg]
            self.left -= 1
            return {"x": np.random.default_rng(self.left).random((1, 3, 8, 8), np.float32)} if self.left >= 0 else None

    weights = {"w": np.ones((4, 3, 3, 3), np.float32), "v": np.ones((4, 4, 1, 1), np.float32)}
    proto = models.build(
        [node("Conv", "x w", "a"), node("Sigmoid", "a", "s"), node("Mul", "a s", "m"), node("Conv", "m v", "y")],
        [("x", models.FLOAT, ("n", 3, 8, 8))],
        [("y", models.FLOAT, ("n", 4, 6, 6))],
        weights,
    )
    models.save(proto, tmp_path / "m.onnx")
    quantize_static(tmp_path / "m.onnx", tmp_path / "q.onnx", Pictures(), quant_format=QuantFormat.QOperator)
    quantised = onnx.load(str(tmp_path / "q.onnx"))
    assert {n.op_type for n in quantised.graph.node} >= {"QLinearConv", "QLinearSigmoid", "QLinearMul"}
    shapes = {"x": (1, 3, 8, 8)}
    assert flops.count(quantised, shapes).macs == flops.count(proto, shapes).macs == 4 * 36 * 27 + 4 * 36 * 4


def test_what_cannot_be_counted_is_named() -> None:
    inner = models.build([node("Relu", "x", "z")], [], [("z", models.FLOAT, (1,))]).graph
    branch = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    proto = models.build(
        [branch], [("x", models.FLOAT, (1,)), ("c", onnx.TensorProto.BOOL, ())], [("y", models.FLOAT, (1,))]
    )
    cost = flops.count(proto, {"x": (1,), "c": ()})
    assert (cost.macs, cost.flops) == (None, None)
    assert "If" in cost.unknown


def test_each_node_has_its_own() -> None:
    nodes = [node("Conv", "x w", "a", name="first"), node("Relu", "a", "b", name="second"),
             node("Conv", "b v", "y", name="third")]  # fmt: skip
    weights = {"w": np.zeros((5, 3, 3, 3), np.float32), "v": np.zeros((2, 5, 1, 1), np.float32)}
    shape = ("n", 3, 8, 8)
    proto = models.build(nodes, [("x", models.FLOAT, shape)], [("y", models.FLOAT, ("n", 2, 6, 6))], weights)
    found = flops.by_node(proto, {"x": (1, 3, 8, 8)})
    assert found == {"first": 5 * 6 * 6 * 3 * 9, "third": 2 * 6 * 6 * 5}
    assert sum(found.values()) == flops.count(proto, {"x": (1, 3, 8, 8)}).macs
