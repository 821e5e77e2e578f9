"""Graphs for TensorRT, read and built by TensorRT-RTX, which needs no GPU.

They run where its environment is there already, or may be made: ``KIT_TEST_ENVIRONMENTS=tensorrt_rtx`` (95 MB).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import models
import networks
import numpy as np
import onnx
import pytest
from test_engine_dialect import HEADS, served

import kit.graph
from kit import calibration, contract, precision, runtimes, targets
from kit.engines import library, parser
from kit.engines.parser import Read
from kit.precision.interface import Ask
from kit.types import Model, Spec

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


pytestmark = pytest.mark.environment(library.RTX)


def lowered(model: Model, folder: Path, level: str, pictures: Any = None) -> Model:
    """Bring a served model to a precision as the pipeline does for t4."""
    meaning = contract.interpret(Spec(source="m.onnx", name="m", targets=(), contract="native"), model)
    made = folder / level
    made.mkdir()
    ask = Ask(model=model, meaning=meaning, target=targets.load("t4"), backend="tensorrt", calibration=pictures,
              held_out=pictures)  # fmt: skip
    return precision.get(level).apply(ask, made).model


def read(model: Model, folder: Path) -> Read:
    made = folder / "engine"
    made.mkdir()
    artifact = runtimes.choose(targets.load("t4"), "tensorrt").build(model, targets.load("t4"), made)
    return parser.read(artifact.path, artifact.signature, print)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_read_and_built(name: str, tmp_path: Path) -> None:
    proto, head = HEADS[name]
    seen = read(served(proto, tmp_path, head), tmp_path)
    assert seen.layers > 50
    assert (seen.refused, seen.skipped) == (None, ())


@pytest.mark.parametrize("task", ["classify", "embed", "segment"])
def test_other_tasks_are_read_and_built(task: str, tmp_path: Path) -> None:
    proto = models.classifier(8, side=32)
    if task == "segment":
        net = networks.Net()
        scores = net.op("Softmax", net.conv("images", 3, 4), axis=1)
        proto = net.done({"scores": (scores, [models.BATCH, 4, networks.HEIGHT, networks.WIDTH])})
    seen = read(served(proto, tmp_path, task=task), tmp_path)
    assert (seen.refused, seen.skipped) == (None, ())


def test_half_precision_is_read_and_built(tmp_path: Path) -> None:
    model = served(networks.yolov8(metadata=networks.ultralytics("detect", 5)), tmp_path)
    half = lowered(model, tmp_path, "fp16")
    assert half.digest != model.digest
    assert read(half, tmp_path).refused is None


@pytest.mark.slow
def test_calibrated_int8_is_read_and_built(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    network = kit.graph.describe(path, kit.graph.write(kit.graph.read(DIGITS / "digits.onnx"), path))
    spec = Spec(source="digits.onnx", name="digits", targets=())
    meaning = contract.interpret(spec, network)
    model = contract.fuse(network, meaning, _new(tmp_path / "served"))
    pictures = calibration.choose(DIGITS / "calibration", 32)
    ask = Ask(model=model, meaning=meaning, target=targets.load("t4"), backend="tensorrt", calibration=pictures,
              held_out=pictures)  # fmt: skip
    small = precision.get("int8").apply(ask, _new(tmp_path / "int8")).model
    operators = [node.op_type for node in onnx.load(str(small.path)).graph.node]
    assert operators.count("QuantizeLinear") > 10
    assert read(small, tmp_path).refused is None


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


class TestRefused:
    """What it refuses, so that its consent means something."""

    def test_frames_that_are_turned_as_bytes(self, tmp_path: Path) -> None:
        model = served(networks.detr(), tmp_path, "detr,softmax")
        seen = parser.read(model.path, model.signature, print)
        assert seen.layers == 0
        assert "computes nothing in UINT8" in (seen.refused or "")

    def test_zero_points(self, tmp_path: Path) -> None:
        """Asymmetric activations, as ONNX Runtime's quantizer gives them where it is not told otherwise."""
        weights = {"scale": np.float32(0.1), "zero": np.uint8(7), "w": np.ones((4, 4), np.float32)}
        nodes = [
            models.node("QuantizeLinear", "x scale zero", "q"),
            models.node("DequantizeLinear", "q scale zero", "d"),
            models.node("MatMul", "d w", "y"),
        ]
        shape = (models.BATCH, 4)
        proto = models.build(nodes, [("x", models.FLOAT, shape)], [("y", models.FLOAT, shape)], weights)
        path = models.save(proto, tmp_path / "model.onnx")
        seen = parser.read(path, kit.graph.describe(path, "").signature, print)
        assert seen.refused is not None

    def test_a_networks_own_nms_is_read_and_not_built(self, tmp_path: Path) -> None:
        model = served(networks.torchvision(), tmp_path)
        seen = read(model, tmp_path)
        assert seen.layers > 50
        assert (seen.refused, seen.skipped) == (None, ("NonMaxSuppression",))
