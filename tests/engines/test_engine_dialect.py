"""Graphs in the operators that TensorRT has: the same answers, to the bit where ONNX Runtime gives both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import models
import networks
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import kit.graph
from kit import contract, inputs
from kit.engines import dialect
from kit.types import Model, Spec, Thresholds

COUNT = 24
HEADS: dict[str, tuple[onnx.ModelProto, str | None]] = {
    "yolov8": (networks.yolov8(metadata=networks.ultralytics("detect", 5)), None),
    "yolov5": (networks.yolov5(with_maps=True), None),
    "yolox": (networks.yolox(), None),
    "yolov10": (networks.yolov10(), None),
    "detr": (networks.detr(), "detr,softmax"),
    "ssd": (networks.ssd(ending="Sigmoid"), None),
    "instances": (networks.yolov8_segment(metadata=networks.ultralytics("segment", 3)), None),
    "pose": (networks.yolov8_pose(metadata=networks.ultralytics("pose", 1, kpt_shape=[4, 3])), None),
}


def served(proto: onnx.ModelProto, folder: Path, head: str | None = None, **more: Any) -> Model:
    """Put the contract around a network."""
    path = models.save(proto, folder / "network" / "model.onnx")
    network = kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))
    limits = Thresholds(score=more.pop("score", 0.25), max_detections=20)
    spec = Spec(source="model.onnx", name="model", targets=(), head=head, thresholds=limits, **more)
    return contract.fuse(network, contract.interpret(spec, network), folder)


def adapted(model: Model, folder: Path) -> Path:
    proto = onnx.load(str(model.path))
    dialect.adapt(proto)
    onnx.checker.check_model(proto, full_check=True)
    path = folder / "adapted.onnx"
    kit.graph.write(proto, path)
    return path


def answers(path: Path, feeds: dict[str, Any]) -> tuple[Any, ...]:
    return kit.graph.answer(kit.graph.session(path), feeds)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("score", [0.0, 0.25])
def test_every_head_answers_the_same(name: str, score: float, tmp_path: Path) -> None:
    proto, head = HEADS[name]
    model = served(proto, tmp_path, head, score=score)
    path = adapted(model, tmp_path)
    operators = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert "NonMaxSuppression" not in operators
    assert operators[0] == "Cast"
    assert kit.graph.describe(path, "").signature == model.signature
    for size in (1, 3):
        feeds = {t.name: inputs.random(t, size) for t in model.signature.inputs}
        before, after = answers(model.path, feeds), answers(path, feeds)
        assert before[0].sum() > 0
        for tensor, one, other in zip(model.signature.outputs, before, after, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=f"{name} {tensor.name}")


def test_a_networks_own_nms_stays(tmp_path: Path) -> None:
    model = served(networks.torchvision(), tmp_path)
    path = adapted(model, tmp_path)
    operators = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert operators.count("NonMaxSuppression") == 1


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_frames_become_floats_before_they_are_turned(color: str, layout: str, tmp_path: Path) -> None:
    model = served(models.classifier(3, layout=layout), tmp_path, task="classify", color=color)
    path = adapted(model, tmp_path)
    proto = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    bytes_inside = [v.name for v in proto.graph.value_info if v.type.tensor_type.elem_type == TensorProto.UINT8]
    assert not bytes_inside
    feeds = {t.name: inputs.random(t, 2) for t in model.signature.inputs}
    np.testing.assert_array_equal(answers(model.path, feeds)[0], answers(path, feeds)[0])


def test_bytes_that_are_computed_with_are_left_alone(tmp_path: Path) -> None:
    proto = models.build([models.node("Add", "x x", "y")], [("x", models.BYTE, (2, 3))], [("y", models.BYTE, (2, 3))])
    before = proto.SerializeToString(deterministic=True)
    dialect.adapt(proto)
    assert proto.SerializeToString(deterministic=True) == before


def test_a_model_without_frames_or_nms_is_left_alone() -> None:
    proto = models.scale()
    before = proto.SerializeToString(deterministic=True)
    dialect.adapt(proto)
    assert proto.SerializeToString(deterministic=True) == before


def suppression(opset: int) -> onnx.ModelProto:
    """NMS as the kit writes it behind a network, with its inputs open."""
    text = f"""
        <ir_version: 8, opset_import: ["": {opset}]>
        nms (float[n, {COUNT}, 4] box, float[n, {COUNT}] score, int64[n, {COUNT}] kind, float iou_in, float least_in)
          => (float[n, {COUNT}] out)
        {{
          k = Constant <value = int64[1] {{{COUNT}}}> ()
          sorted_score, place = TopK <axis = 1, largest = 1, sorted = 1> (score, k)
          axis_last = Constant <value = int64[1] {{2}}> ()
          column = Unsqueeze (place, axis_last)
          candidate_box = GatherND <batch_dims = 1> (box, column)
          candidate_class = GatherElements <axis = 1> (kind, place)
          candidate_score = Identity (sorted_score)
          iou = Identity (iou_in)
          least = Identity (least_in)
          axis_class = Constant <value = int64[1] {{1}}> ()
          score_row = Unsqueeze (candidate_score, axis_class)
          class_row = Unsqueeze (candidate_class, axis_class)
          class_index = Constant <value = int64[1, 3, 1] {{0, 1, 2}}> ()
          is_class = Equal (class_row, class_index)
          zero = Constant <value = float {{0}}> ()
          score_per_class = Where (is_class, score_row, zero)
          most = Constant <value = int64 {{{COUNT}}}> ()
          selected = NonMaxSuppression (candidate_box, score_per_class, most, iou, least)
          frame_and_candidate = Constant <value = int64[2] {{0, 2}}> ()
          survivor = Gather <axis = 1> (selected, frame_and_candidate)
          survivor_score = GatherND (candidate_score, survivor)
          nothing = Mul (candidate_score, zero)
          sparse_score = ScatterND (nothing, survivor, survivor_score)
          result = Identity (sparse_score)
        }}
    """
    inner = onnx.compose.add_prefix(onnx.parser.parse_model(text), "detect/", rename_inputs=False, rename_outputs=False)
    taken = {f"detect/{value.name}": value.name for value in inner.graph.input}
    for node in inner.graph.node:
        node.input[:] = [taken.get(name, name) for name in node.input]
    inner.graph.node[-1].output[0] = "out"
    return inner


@pytest.fixture(scope="module", params=[13, 18])
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """NMS by ONNX Runtime's operator and by rounds, opened."""
    proto = suppression(request.param)
    before = kit.graph.session(proto.SerializeToString())
    dialect.adapt(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert "NonMaxSuppression" not in {node.op_type for node in proto.graph.node}
    return before, kit.graph.session(proto.SerializeToString())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([5.0, 20.0, 100.0]),
    ties=st.booleans(),
    iou=st.sampled_from([0.1, 0.45, 0.7, 1.0]),
    least=st.sampled_from([0.0, 0.25, 0.9]),
)
def test_rounds_choose_what_greedy_nms_chooses(
    pair: tuple[Any, Any], seed: int, spread: float, ties: bool, iou: float, least: float
) -> None:
    chance = np.random.default_rng(seed)
    low = chance.uniform(0, spread, (2, COUNT, 2))
    box = np.concatenate([low, low + chance.uniform(0, 20, (2, COUNT, 2))], axis=2).astype(np.float32)
    if ties:  # whole numbers: equal boxes, boxes without an area, an overlap of exactly a half
        box = box.round(-1)
    turned = chance.random((2, COUNT)) < 0.1
    box[turned] = box[turned][:, [2, 3, 0, 1]]
    feeds = {
        "box": box,
        "score": chance.random((2, COUNT)).astype(np.float32).round(1 if ties else 7),
        "kind": chance.integers(0, 3, (2, COUNT)),
        "iou_in": np.array(iou, np.float32),
        "least_in": np.array(least, np.float32),
    }
    before, after = (kit.graph.answer(session, feeds)[0] for session in pair)
    np.testing.assert_array_equal(before, after)


def chain(length: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Boxes of which each overlaps its neighbours alone, in falling score: every second one is kept."""
    left = np.arange(length, dtype=np.float32) * 3
    box = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 10)], axis=1)
    return box, np.linspace(0.9, 0.5, length, dtype=np.float32)


@pytest.mark.parametrize(("length", "equal"), [(dialect.ROUNDS, True), (COUNT, False)])
def test_a_chain_is_followed_as_far_as_is_said(pair: tuple[Any, Any], length: int, equal: bool) -> None:
    """Beyond, a box too many is kept, and never one too few."""
    box, score = np.zeros((1, COUNT, 4), np.float32), np.zeros((1, COUNT), np.float32)
    box[0, :length], score[0, :length] = chain(length)
    feeds = {"box": box, "score": score, "kind": np.zeros((1, COUNT), np.int64), "iou_in": np.array(0.45, np.float32),
             "least_in": np.array(0.25, np.float32)}  # fmt: skip
    before, after = (kit.graph.answer(session, feeds)[0] for session in pair)
    assert bool((before == after).all()) == equal
    assert (after[before > 0] > 0).all()


def test_rounds_are_even() -> None:
    assert dialect.ROUNDS % 2 == 0


def test_an_input_that_is_given_is_an_output_too(tmp_path: Path) -> None:
    """Nothing that is an output of the graph is dropped, whoever else takes it."""
    proto = suppression(17)
    selected = helper.make_tensor_value_info("detect/selected", TensorProto.INT64, [None, 3])
    proto.graph.output.append(selected)
    dialect.adapt(proto)
    assert {v.name for v in proto.graph.output} == {"out", "detect/selected"}
    kit.graph.session(proto.SerializeToString())
