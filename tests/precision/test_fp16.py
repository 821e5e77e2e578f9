"""FP16: where numbers fit; inputs, outputs, pre-processing and decoding stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import models
import nets
import numpy as np
import onnx
import onnx.reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import DETECTOR, NATIVE, Files, Values, ask, digits, saved

from kit import precision, runners, targets
from kit.errors import UnsupportedModelError
from kit.precision import _halves, _network
from kit.precision.interface import Ask, Lowered
from kit.types import Model

FP16 = precision.get("fp16")
HALF = onnx.TensorProto.FLOAT16
PICTURES = Values(nets.pictures())


def apply(given: Ask, folder: Path) -> tuple[Lowered, onnx.ModelProto]:
    folder.mkdir(parents=True, exist_ok=True)
    lowered = FP16.apply(given, folder)
    return lowered, onnx.load(str(lowered.model.path))


def gpu(model: Model, **changed: Any) -> Ask:
    return ask(model, **{"target": targets.load("t4"), "backend": "tensorrt", "calibration": PICTURES, **changed})


def answers(model: Model, feeds: dict[str, Any]) -> dict[str, Any]:
    with runners.open(str(model.path)) as running:
        return running.run(feeds)


def exactly(proto: onnx.ModelProto, feeds: dict[str, Any]) -> Any:
    """Answer with each number in its own type; ONNX Runtime computes FP16 in FP32 on a CPU, and nothing overflows."""
    with np.errstate(all="ignore"):
        return onnx.reference.ReferenceEvaluator(proto).run(None, feeds)[0]


def halves(proto: onnx.ModelProto) -> set[str]:
    """Names of the nodes that give FP16."""
    inferred = onnx.shape_inference.infer_shapes(proto)
    types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    return {n.name for n in proto.graph.node if n.op_type != "Cast" and any(types.get(o) == HALF for o in n.output)}


def naive(model: Model) -> onnx.ModelProto:
    """Return the model with everything in FP16 that can be."""
    network = _network.link(_network.prepare(model, NATIVE))
    return _halves.converted(network, {node.name for node in network.nodes if _halves.can_be(network, node)})


def test_the_served_contract_of_digits_in_fp16(tmp_path: Path) -> None:
    model = digits()
    lowered, proto = apply(gpu(model, meaning=DETECTOR, calibration=Files(step=40)), tmp_path)
    assert lowered.model.signature == model.signature
    inside = halves(proto)
    assert any("conv2d_12" in name for name in inside)
    assert not any(name.startswith(("frames/", "detect/")) for name in inside)
    # Boxes in pixels: from 512 on a step of FP16 is half a pixel.
    assert not {"network/node_add_635", "network/node_mul_574"} & inside
    feeds = next(iter(Files(step=10).feeds(model.signature, batch=3)))
    before, after = answers(model, feeds), answers(lowered.model, feeds)
    assert np.array_equal(before["num"], after["num"])
    assert np.abs(before["boxes"] - after["boxes"]).max() < 0.5
    assert np.abs(before["scores"] - after["scores"]).max() < 0.01


def test_a_sum_of_squares_that_overflows_stays_in_fp32(tmp_path: Path) -> None:
    proto = nets.squares()
    model = saved(proto, tmp_path / "model")
    lowered, made = apply(gpu(model), tmp_path / "made")
    feeds = {"x": nets.pictures(1, seed=4)[0]}
    before, after, lost = (exactly(p, feeds) for p in (proto, made, naive(model)))
    spread = np.abs(before).max()
    assert np.abs(lost - before).max() > 0.3 * spread, "all is divided by infinity: FP16 must break this network"
    assert np.allclose(after, before, rtol=0.02, atol=0.005)
    kept = {kept.reason: kept.nodes for kept in lowered.kept}
    assert any("mul" in name for name in kept["would overflow FP16"])
    assert {"node_conv_0"} <= halves(made), "what fits is converted all the same"


def test_an_epsilon_that_vanishes_keeps_its_node(tmp_path: Path) -> None:
    net = nets.Net()
    features = net.op("Relu", net.conv("x", 3, 16, kernel=3, name="stem"))
    left = net.op("Sub", features, features)  # zero: only the epsilon is between it and a division by zero
    ratio = net.op("Div", left, net.op("Add", left, net.value(1e-9)))
    net.op("Sigmoid", net.conv(net.op("Add", ratio, features), 16, 4, name="head"), out="y")
    proto = net.done({"y": [models.BATCH, 4, 16, 16]})
    model = saved(proto, tmp_path / "model")
    lowered, made = apply(gpu(model), tmp_path / "made")
    feeds = {"x": nets.pictures(1)[0]}
    assert np.isnan(exactly(naive(model), feeds)).any(), "FP16 must break this network"
    assert np.allclose(exactly(made, feeds), exactly(proto, feeds), atol=0.01)
    assert {kept.reason for kept in lowered.kept} & {"has constants outside FP16", "would vanish in FP16"}


def test_weights_alone_where_the_backend_computes_in_fp32(tmp_path: Path) -> None:
    model = digits()
    lowered, proto = apply(ask(model, meaning=DETECTOR), tmp_path)
    assert lowered.model.path.stat().st_size < 0.55 * model.path.stat().st_size
    assert halves(proto) == set()
    small = {t.name for t in proto.graph.initializer if t.data_type == HALF}
    assert len(small) == 26
    feeds = next(iter(Files(step=10).feeds(model.signature, batch=2)))
    before, after = answers(model, feeds), answers(lowered.model, feeds)
    assert np.abs(before["boxes"] - after["boxes"]).max() < 0.5
    assert "computed in FP32" in lowered.method


@pytest.mark.parametrize("target", ["x86-cpu", "t4"])
def test_what_is_reverted_stays_in_fp32(target: str, tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    backend = "tensorrt" if target == "t4" else "onnxruntime"
    given = {"target": targets.load(target), "backend": backend, "calibration": PICTURES}
    whole, _ = apply(ask(model, **given), tmp_path / "whole")
    assert {"stem.conv", "block.first"} <= {group.name for group in whole.groups}
    _, proto = apply(ask(model, **given, reverted=frozenset({"block.first"})), tmp_path / "less")
    types = {t.name.removesuffix("_fp16"): t.data_type for t in proto.graph.initializer}
    assert types["block.first.weight"] != HALF
    assert types["block.second.weight"] == HALF


def test_weights_that_fp16_does_not_hold_stay(tmp_path: Path) -> None:
    net = nets.Net()
    net.conv("x", 3, 16, kernel=3, name="large")
    net.weights["large.weight"] *= np.float32(1e6)
    net.op("Sigmoid", net.conv(net.op("Tanh", "conv_0"), 16, 8, name="head"), out="y")
    model = saved(net.done({"y": [models.BATCH, 8, 16, 16]}), tmp_path / "model")
    lowered, proto = apply(ask(model), tmp_path / "made")
    assert {t.name for t in proto.graph.initializer if t.data_type == HALF} == {"head.weight_fp16"}
    assert [kept.reason for kept in lowered.kept] == ["has constants outside FP16"]


def test_no_pictures_are_needed_and_noise_is_said(tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    lowered, _ = apply(gpu(model, calibration=None), tmp_path / "made")
    assert "noise" in lowered.method


def test_what_is_in_fp16_already_is_refused(tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    lowered, _ = apply(gpu(model), tmp_path / "made")
    with pytest.raises(UnsupportedModelError, match="computes in FP16 already"):
        apply(gpu(lowered.model), tmp_path / "again")


OPERATORS = ("Relu", "Sigmoid", "Tanh", "silu", "Add", "Mul", "Concat", "conv", "MaxPool", "Softmax", "Resize", "Where",
             "Cast", "ReduceMax", "Pad", "If")  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(OPERATORS), min_size=2, max_size=8), st.integers(0, 2**16))
def test_any_chain_of_operators_stays_a_valid_graph(tmp_path_factory: Any, chain: list[str], seed: int) -> None:
    """Law: whatever operators, the result passes onnx's checker and ONNX Runtime, and answers nearly the same."""
    folder = tmp_path_factory.mktemp("chain")
    net = nets.Net(seed)
    x = net.conv("x", 3, 8, kernel=3, name="stem")
    for kind in chain:
        x = _grown(net, kind, x)
    net.op("Tanh", net.conv(x, 8, 8, name="head"), out="y")
    model = saved(net.done({"y": [models.BATCH, 8, "h", "w"]}), folder)
    lowered, _ = apply(gpu(model, calibration=Values(nets.pictures(2))), folder / "made")
    feeds = {"x": nets.pictures(1, seed=seed)[0]}
    first, second = answers(model, feeds)["y"], answers(lowered.model, feeds)["y"]
    assert np.abs(first - second).max() < 0.05


def _grown(net: nets.Net, kind: str, x: str) -> str:
    """Add an operator, or a few that are often seen together, behind ``x``."""
    tanh = net.op("Tanh", x)
    grow = {
        "silu": lambda: net.silu(x),
        "Add": lambda: net.op("Add", tanh, net.value(net.chance.normal(size=(1, 8, 1, 1)))),
        "Mul": lambda: net.op("Mul", tanh, net.value(net.chance.normal(size=(1, 8, 1, 1)))),
        "Concat": lambda: net.conv(net.op("Concat", x, tanh, axis=1), 16, 8),
        "conv": lambda: net.conv(tanh, 8, 8, kernel=3),
        "MaxPool": lambda: net.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4),
        "Softmax": lambda: net.op("Softmax", x, axis=1),
        "Resize": lambda: net.op("Resize", x, "", net.value([1, 1, 1, 1]), mode="nearest"),
        "Where": lambda: net.op("Where", net.op("Greater", x, net.value(0.1)), x, tanh),
        "Cast": lambda: net.op("Add", x, net.op("Cast", net.op("Cast", tanh, to=6), to=1)),
        "ReduceMax": lambda: net.op("Sub", x, net.op("ReduceMax", x, net.value([1], dtype=np.int64), keepdims=1)),
        "Pad": lambda: net.op("Pad", x, net.value([0] * 8, dtype=np.int64)),
        "If": lambda: _branch(net, x),
    }
    return grow[kind]() if kind in grow else net.op(kind, x)


def _branch(net: nets.Net, x: str) -> str:
    """An If whose branches both give what is outside."""

    def branch(name: str) -> onnx.GraphProto:
        given = onnx.helper.make_tensor_value_info(f"{x}_{name}", 1, None)
        return onnx.helper.make_graph([models.node("Identity", x, f"{x}_{name}")], name, [], [given])

    large = net.op("Greater", net.op("ReduceMax", "x", keepdims=0), net.value(0.5))
    return net.op("If", large, then_branch=branch("then"), else_branch=branch("otherwise"))
