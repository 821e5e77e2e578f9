"""INT8 by NNCF in its own environment, on a small network; and what is said before any environment is made."""

from __future__ import annotations

from pathlib import Path

import nets
import numpy as np
import onnx
import pytest
from pictures import Values, ask, saved

from kit import precision, runners
from kit.errors import QuantizationError, UnsupportedModelError

PICTURES = Values(nets.pictures())
ENVIRONMENT = pytest.mark.environment("nncf")


def test_it_is_for_openvino(tmp_path: Path) -> None:
    given = ask(saved(nets.residual(), tmp_path / "model"), calibration=PICTURES)
    with pytest.raises(UnsupportedModelError, match=r"NNCF quantises for OpenVINO, .* add --runtime openvino"):
        precision.get("nncf").apply(given, tmp_path)


def test_noise_is_no_calibration(tmp_path: Path) -> None:
    given = ask(saved(nets.residual(), tmp_path / "model"), backend="openvino")
    with pytest.raises(QuantizationError, match="needs real pictures"):
        precision.get("nncf").apply(given, tmp_path)


def test_auto_does_not_try_it() -> None:
    assert "nncf" not in [level.name for level in precision.ladder("auto")]
    assert [level.name for level in precision.ladder("nncf")] == ["nncf"]


@ENVIRONMENT
@pytest.mark.parametrize("reverted", [frozenset(), frozenset({"block.first"})], ids=["all", "one reverted"])
def test_heads_and_reverted_groups_stay_in_float(tmp_path: Path, reverted: frozenset[str]) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    given = ask(model, calibration=PICTURES, backend="openvino", reverted=reverted)
    made = tmp_path / "made"
    made.mkdir()
    lowered = precision.get("nncf").apply(given, made)
    assert lowered.model.signature == model.signature
    assert lowered.method.startswith("NNCF, performance: answers differ by 0.0")
    assert sorted(path.name for path in made.iterdir()) == ["model.onnx"]
    proto = onnx.load(str(lowered.model.path))
    makers = {name: node.op_type for node in proto.graph.node for name in node.output}
    floats = [n for n in proto.graph.node if n.op_type == "Conv" and makers.get(n.input[1]) != "DequantizeLinear"]
    assert len(floats) == 2 + len(reverted), "the heads' last layers, and what was reverted"
    feeds = {"x": nets.pictures(1, seed=9)[0]}
    answers = []
    for one in (model, lowered.model):
        with runners.open(str(one.path)) as running:
            answers.append(running.run(feeds)["y"])
    assert np.abs(answers[0] - answers[1]).max() < 0.1 * np.abs(answers[0]).max()


@ENVIRONMENT
def test_a_transformer_is_one_for_nncf_too(tmp_path: Path) -> None:
    model = saved(nets.transformer(batch="batch"), tmp_path / "model")
    made = tmp_path / "made"
    made.mkdir()
    lowered = precision.get("nncf").apply(ask(model, calibration=PICTURES, backend="openvino"), made)
    products = [node for node in onnx.load(str(lowered.model.path)).graph.node if node.op_type in ("MatMul", "Gemm")]
    makers = {n: node.op_type for node in onnx.load(str(lowered.model.path)).graph.node for n in node.output}
    assert sum(makers.get(node.input[1]) == "DequantizeLinear" for node in products) >= 8
