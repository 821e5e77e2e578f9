"""Calibrated INT8: what is quantised and what is not, for whom how, and that the answers hold."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import models
import nets
import numpy as np
import onnx
import pytest
from pictures import DETECTOR, NATIVE, Files, Values, ask, digits, saved

from kit import precision, runners, targets
from kit.errors import QuantizationError, UnsupportedModelError
from kit.precision.interface import Ask, Lowered
from kit.types import Model

INT8 = precision.get("int8")
PICTURES = Values(nets.pictures())


def apply(given: Ask, folder: Path) -> tuple[Lowered, onnx.ModelProto]:
    folder.mkdir(parents=True, exist_ok=True)
    lowered = INT8.apply(given, folder)
    return lowered, onnx.load(str(lowered.model.path))


def answers(model: Model, feeds: dict[str, Any]) -> dict[str, Any]:
    with runners.open(str(model.path)) as running:
        return running.run(feeds)


def operators(proto: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in proto.graph.node)


def float_layers(proto: onnx.ModelProto) -> set[str]:
    """Names of the layers that take no dequantised weights."""
    made = {name: node for node in proto.graph.node for name in node.output}
    layers = [n for n in proto.graph.node if n.op_type in ("Conv", "MatMul", "Gemm")]
    return {n.name for n in layers if n.input[1] not in made or made[n.input[1]].op_type != "DequantizeLinear"}


def test_digits_keeps_its_answers_in_a_third_of_the_bytes(tmp_path: Path) -> None:
    model = digits()
    given = ask(model, meaning=DETECTOR, calibration=Files(step=16))
    lowered, proto = apply(given, tmp_path)
    assert lowered.model.signature == model.signature
    assert lowered.model.path.stat().st_size < 0.4 * model.path.stat().st_size
    feeds = next(iter(Files(step=7).feeds(model.signature, batch=4)))
    before, after = answers(model, feeds), answers(lowered.model, feeds)
    assert np.abs(before["num"] - after["num"]).max() <= 1
    best = before["num"].min()
    assert np.abs(before["scores"][:, :best] - after["scores"][:, :best]).mean() < 0.05
    assert lowered.method.split(":")[0] in ("minmax", "entropy", "percentile", "mse")
    named = [part for part in ("minmax", "entropy", "percentile", "mse") if part in lowered.method]
    assert len(named) == 4, "the method says how far the others are"
    # Thresholds are found by name by those who judge the model at other ones.
    assert {"detect/least", "detect/iou"} <= {name for n in proto.graph.node for name in n.output}


def test_digits_groups_are_modules_and_what_is_reverted_stays_float(tmp_path: Path) -> None:
    given = ask(digits(), meaning=DETECTOR, calibration=Files(step=16))
    lowered, _ = apply(given, tmp_path / "whole")
    groups = {group.name: group for group in lowered.groups}
    assert {"backbone.stem.0.0", "backbone.stages.0.1.body.1.0", "neck.merges.1.0"} <= set(groups)
    block = groups["backbone.stages.0.1.body.1.0"]
    assert block.module == "backbone.stages.0.1.body.1.0"
    kinds = [name.rpartition("/")[2].rstrip("0123456789_") for name in block.nodes]
    assert kinds == ["node_conv2d", "node_Sigmoid", "node_silu", "node_add"], "with its SiLU and residual Add"
    shared = groups["head.box_branch.0.0"]
    assert sum("conv2d" in name for name in shared.nodes) == 3, "layers that share weights change together"

    undone = frozenset({"backbone.stem.0.0", "head.box_branch.0.0"})
    start = time.perf_counter()
    again, proto = apply(
        ask(given.model, meaning=DETECTOR, calibration=Files(step=16), reverted=undone), tmp_path / "less"
    )
    assert time.perf_counter() - start < 5, "ranges and the method are kept"
    assert again.groups == lowered.groups
    wanted = {n for name in undone for n in groups[name].nodes if "conv2d" in n}
    predicting = next(kept.nodes for kept in lowered.kept if "predictions" in kept.reason and "raw" in kept.reason)
    assert float_layers(proto) == wanted | set(predicting)
    assert {n for kept in again.kept if kept.reason == "reverted" for n in kept.nodes} >= wanted


def test_the_same_asked_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    first, _ = apply(ask(model, calibration=PICTURES), tmp_path / "first")
    second, _ = apply(ask(model, calibration=PICTURES), tmp_path / "second")
    assert first.model.digest == second.model.digest


def test_heads_and_decoding_stay_float_whatever_they_are_called(tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    lowered, proto = apply(ask(model, calibration=PICTURES), tmp_path / "made")
    weights = {n.name: n.input[1] for n in nets.residual().graph.node if n.op_type == "Conv"}
    left = {weights[name] for name in float_layers(proto)}
    assert left == {"head.box.1.weight", "head.score.1.weight"}
    last = [n for n in proto.graph.node if n.op_type in ("Concat", "Reshape")]
    made = {name: node.op_type for node in proto.graph.node for name in node.output}
    assert all(made.get(name) != "DequantizeLinear" for n in last for name in n.input)
    assert {k.reason for k in lowered.kept} == {"makes the raw predictions", "decodes the predictions"}


@pytest.mark.parametrize(
    ("target", "backend", "types", "zero"),
    [
        ("x86-cpu", "onnxruntime", {"uint8", "int8"}, False),
        ("arm64-cpu", "onnxruntime", {"int8"}, False),
        ("t4", "tensorrt", {"int8"}, True),
        ("t4", "onnxruntime", {"int8"}, True),
        ("x86-cpu", "openvino", {"int8"}, True),
    ],
)
def test_each_backend_gets_its_recipe(target: str, backend: str, types: set[str], zero: bool, tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    given = ask(model, calibration=PICTURES, backend=backend, target=targets.load(target))
    _, proto = apply(given, tmp_path / "made")
    points = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if t.name.endswith("_zero_point")}
    kinds = {str(value.dtype) for value in points.values()}
    assert kinds - {"int32"} == types
    if zero:  # symmetric, and no bias in int32
        assert all((value == 0).all() for value in points.values())
        assert "int32" not in kinds
    scales = [t for t in proto.graph.initializer if "weight_scale" in t.name]
    assert scales
    assert all(len(t.dims) == 1 for t in scales), "per channel"
    feeds = {"x": nets.pictures(2, seed=9)[0]}
    before, after = answers(model, feeds)["y"], onnx_answers(proto, feeds)["y"]
    assert np.abs(before - after).max() < 0.1 * np.abs(before).max()


def onnx_answers(proto: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Any]:
    import kit.graph

    session = kit.graph.session(proto.SerializeToString())
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def test_weights_have_seven_bits_where_vnni_is_not_known(tmp_path: Path) -> None:
    from dataclasses import replace

    model = saved(nets.residual(), tmp_path / "model")
    largest = {}
    target = targets.load("x86-cpu")
    for vnni in (None, True):
        device = replace(target.device, vnni=vnni)
        _, proto = apply(ask(model, calibration=PICTURES, target=replace(target, device=device)), tmp_path / str(vnni))
        weights = [
            onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if t.name.endswith("weight_quantized")
        ]
        assert weights
        largest[vnni] = max(int(np.abs(w.astype(int)).max()) for w in weights)
    assert largest[None] <= 64 < largest[True] <= 128


def test_tensorrt_takes_the_skip_of_a_residual_in_int8(tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    _, proto = apply(ask(model, calibration=PICTURES, backend="tensorrt", target=targets.load("t4")), tmp_path / "made")
    made = {name: node for node in proto.graph.node for name in node.output}
    (add,) = [n for n in proto.graph.node if n.op_type == "Add"]
    kinds = [made[name].op_type for name in add.input]
    assert sorted(kinds) == ["DequantizeLinear", "Mul"], "the skip, and the block's own result as it is"
    results = [n for n in proto.graph.node if n.op_type == "Conv"]
    takers = {name: n.op_type for n in proto.graph.node for name in n.input}
    assert all(takers[n.output[0]] != "QuantizeLinear" for n in results)


@pytest.mark.parametrize("activated", [False, True], ids=["bare", "with SiLU"])
def test_openvino_takes_both_sides_of_a_residual_in_int8(activated: bool, tmp_path: Path) -> None:
    net = nets.Net()
    stem = net.silu(net.conv("x", 3, 8, kernel=3, name="stem"))
    inner = net.conv(net.silu(net.conv(stem, 8, 8, name="block.0")), 8, 8, kernel=3, name="block.1")
    added = net.op("Add", stem, net.silu(inner) if activated else inner, out="added")
    gate = net.op("Sigmoid", net.conv(added, 8, 8, name="gate"))
    alone = net.op("Add", added, net.op("Mul", gate, added), out="alone")  # no layer's result is added there
    net.conv(net.op("Relu", net.conv(alone, 8, 8, name="last")), 8, 4, name="head")
    net.op("Identity", net.nodes[-1].output[0], out="y")
    proto = net.done({"y": [models.BATCH, 4, 16, 16]})
    given = ask(saved(proto, tmp_path / "model"), calibration=PICTURES, backend="openvino")
    _, made = apply(given, tmp_path)
    makers = {name: node.op_type for node in made.graph.node for name in node.output}
    adds = {node.output[0]: [makers[name] for name in node.input] for node in made.graph.node if node.op_type == "Add"}
    assert adds["added"] == ["DequantizeLinear", "DequantizeLinear"]
    assert "Mul" in adds["alone"]


def test_what_tensorrt_does_not_quantise_is_fp16(tmp_path: Path) -> None:
    """A strongly typed network computes in the graph's types: a float SiLU in FP32 would be slower than FP16 alone."""
    from dataclasses import replace

    model = saved(nets.residual(), tmp_path / "model")
    target = targets.load("t4")
    older = replace(target, stack=replace(target.stack, tensorrt_version="8.6.1"))
    kinds = {}
    for name, one in (("new", target), ("older", older)):
        lowered, proto = apply(ask(model, calibration=PICTURES, backend="tensorrt", target=one), tmp_path / name)
        assert lowered.model.signature == model.signature
        inferred = onnx.shape_inference.infer_shapes(proto).graph
        types = {v.name: v.type.tensor_type.elem_type for v in inferred.value_info}
        kinds[name] = {n.op_type: types.get(n.output[0]) for n in proto.graph.node}
    half, whole = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert {kinds["new"][kind] for kind in ("Conv", "Add", "DequantizeLinear")} == {half}
    assert {kinds["older"][kind] for kind in ("Conv", "Add", "DequantizeLinear")} == {whole}
    assert kinds["new"]["Concat"] == whole, "decoding stays in FP32"


def test_a_transformer_is_tried_with_ranges_found_while_it_runs(tmp_path: Path) -> None:
    model = saved(nets.transformer(), tmp_path / "model")
    lowered, proto = apply(ask(model, calibration=PICTURES), tmp_path / "made")
    assert "dynamic" in lowered.method
    chosen = lowered.method.split(":")[0]
    assert ("MatMulInteger" in operators(proto)) == (chosen == "dynamic")
    made = {name: node.op_type for node in proto.graph.node for name in node.output}
    rest = [n for n in proto.graph.node if n.op_type in ("Softmax", "LayerNormalization", "Relu")]
    assert all(made[n.input[0]] != "DequantizeLinear" for n in rest), "only products are quantised"
    assert {"blocks.0.attn.q", "blocks.1.mlp.fc2"} <= {group.module for group in lowered.groups}
    feeds = {"x": nets.pictures(1, seed=5)[0]}
    before, after = answers(model, feeds)["y"], answers(lowered.model, feeds)["y"]
    assert np.abs(before - after).max() < 0.1 * np.abs(before).max()
    gpu, _ = apply(ask(model, calibration=PICTURES, backend="tensorrt", target=targets.load("t4")), tmp_path / "gpu")
    assert "dynamic" not in gpu.method


def test_ranges_found_at_each_run_win_where_pictures_differ_much(tmp_path: Path) -> None:
    model = saved(nets.transformer(), tmp_path / "model")
    loud = [picture * scale for picture, scale in zip(nets.pictures(20), 5 * [1.0, 1.0, 1.0, 200.0], strict=True)]
    lowered, proto = apply(ask(model, calibration=Values(loud)), tmp_path / "made")
    assert lowered.method.startswith("dynamic")
    assert operators(proto)["MatMulInteger"] > 0


def test_ranges_found_at_each_run_are_not_for_batches(tmp_path: Path) -> None:
    """One range for the whole batch: the answer to a picture would depend on those beside it."""
    model = saved(nets.transformer(batch=models.BATCH), tmp_path / "model")
    lowered, proto = apply(ask(model, calibration=PICTURES), tmp_path / "made")
    assert "dynamic" not in lowered.method
    one, other = nets.pictures(2, seed=8)
    alone = onnx_answers(proto, {"x": one})["y"]
    beside = onnx_answers(proto, {"x": np.concatenate([one, other * 50])})["y"]
    assert np.allclose(alone[0], beside[0], atol=1e-4)


def test_a_network_of_an_old_opset_is_raised_or_told(tmp_path: Path) -> None:
    model = saved(_old(), tmp_path / "model")
    assert model.opset == 11
    _, proto = apply(ask(model, calibration=PICTURES), tmp_path / "made")
    assert operators(proto)["QuantizeLinear"] > 0


def _old() -> onnx.ModelProto:
    net = nets.Net(opset=11)
    hidden = net.op("Relu", net.conv("x", 3, 16, kernel=3))
    net.op("Relu", net.conv(net.op("Relu", net.conv(hidden, 16, 16)), 16, 4), out="y")
    return net.done({"y": [models.BATCH, 4, 16, 16]})


def _nan_weights() -> onnx.ModelProto:
    net = nets.Net()
    hidden = net.op("Relu", net.conv("x", 3, 16, kernel=3, name="stem"))
    net.weights["stem.weight"][0, 0, 0, 0] = np.nan
    net.op("Relu", net.conv(hidden, 16, 4, name="head"), out="y")
    return net.done({"y": [models.BATCH, 4, 16, 16]})


def _nan_activations() -> onnx.ModelProto:
    net = nets.Net()
    hidden = net.op("Log", net.op("Sub", net.conv("x", 3, 16, kernel=3), net.value(1e6)))
    net.op("Relu", net.conv(net.op("Relu", net.conv(hidden, 16, 16)), 16, 4), out="y")
    return net.done({"y": [models.BATCH, 4, 16, 16]})


def _halves() -> onnx.ModelProto:
    net = nets.Net()
    half = net.op("Cast", "x", to=onnx.TensorProto.FLOAT16)
    net.weights |= {"a": np.full((16, 3, 3, 3), 0.3, np.float16), "b": np.full((8, 16, 1, 1), 0.3, np.float16)}
    net.op("Cast", net.op("Conv", net.op("Conv", half, "a"), "b"), out="y", to=onnx.TensorProto.FLOAT)
    return net.done({"y": [models.BATCH, 8, 14, 14]})


def _no_weights() -> onnx.ModelProto:
    net = nets.Net()
    net.op("Relu", net.op("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), out="y")
    return net.done({"y": [models.BATCH, 3, 8, 8]})


def _only_a_head() -> onnx.ModelProto:
    net = nets.Net()
    net.op("Sigmoid", net.conv("x", 3, 32, kernel=3), out="y")
    return net.done({"y": [models.BATCH, 32, 16, 16]})


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (_nan_weights, QuantizationError, r"1 of the weights stem\.weight are NaN"),
        (_nan_activations, QuantizationError, "is NaN or infinite on picture 1"),
        (_halves, UnsupportedModelError, "computes in FP16 already"),
        (_no_weights, UnsupportedModelError, "nothing to quantise: the network has no Conv"),
        (_only_a_head, UnsupportedModelError, r"nothing to quantise: .*\(Conv\) make the predictions"),
    ],
)
def test_what_cannot_be_quantised_is_said(make: Any, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        apply(ask(saved(make(), tmp_path / "model"), calibration=PICTURES), tmp_path / "made")


def test_what_is_quantised_already_is_refused(tmp_path: Path) -> None:
    lowered, _ = apply(ask(saved(nets.residual(), tmp_path / "model"), calibration=PICTURES), tmp_path / "made")
    with pytest.raises(UnsupportedModelError, match="quantised already"):
        apply(ask(lowered.model, calibration=PICTURES), tmp_path / "again")


def test_pictures_are_required(tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    for calibration in (None, Values([])):
        with pytest.raises(QuantizationError, match="needs real pictures"):
            apply(ask(model, calibration=calibration), tmp_path / "made")


def test_what_an_inner_graph_takes_stays_float(tmp_path: Path) -> None:
    net = nets.Net()
    first = net.op("Relu", net.conv("x", 3, 16, kernel=3, name="first"))
    second = net.op("Relu", net.conv(first, 16, 16, name="second"))
    then = onnx.helper.make_graph([models.node("Mul", f"{second} two", "t")], "then", [],
                                  [onnx.helper.make_tensor_value_info("t", 1, None)])  # fmt: skip
    otherwise = onnx.helper.make_graph([models.node("Identity", second, "e")], "else", [],
                                       [onnx.helper.make_tensor_value_info("e", 1, None)])  # fmt: skip
    net.value(2.0, "two")
    large = net.op("Greater", net.op("ReduceMax", "x", keepdims=0), net.value(0.5))
    chosen = net.op("If", large, then_branch=then, else_branch=otherwise)
    third = net.op("Relu", net.conv(chosen, 16, 16, name="third"))
    net.op("Sigmoid", net.conv(third, 16, 4, name="head"), out="y")
    model = saved(net.done({"y": [models.BATCH, 4, 16, 16]}), tmp_path / "model")
    lowered, _ = apply(ask(model, calibration=PICTURES), tmp_path / "made")
    assert {group.module for group in lowered.groups} >= {"first"}
    for picture in nets.pictures(2, seed=3):
        before, after = answers(model, {"x": picture})["y"], answers(lowered.model, {"x": picture})["y"]
        assert np.abs(before - after).max() < 0.1


def test_tensors_are_watched_in_parts_that_fit_into_memory(tmp_path: Path) -> None:
    from kit.precision import _network, _observing

    net = nets.Net()
    x = net.conv("x", 3, 64, kernel=3)
    for _ in range(8):
        x = net.op("Relu", net.conv(x, 64, 64, kernel=3))
    net.op("Sigmoid", net.conv(x, 64, 8), out="y")
    side = 1024
    proto = net.done({"y": [models.BATCH, 8, side, side]}, [models.BATCH, 3, side, side])
    network = _network.link(_network.prepare(saved(proto, tmp_path), NATIVE))
    names = [name for node in network.nodes for name in node.output]
    parts = list(_observing._parts(network, names))
    assert [name for part in parts for name in part] == names
    assert len(parts) > 1
    sizes = [sum(4 * int(np.prod(network.shapes[name][1:])) for name in part) for part in parts]
    assert max(sizes) <= _observing._ROOM
