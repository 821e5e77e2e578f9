"""INT8 by ModelOpt in its own environment, on a small network; and what is said before any environment is made."""

from __future__ import annotations

from pathlib import Path

import nets
import numpy as np
import onnx
import pytest
from pictures import Values, ask, saved

from kit import precision, runners, targets
from kit.errors import UnsupportedModelError

PICTURES = Values(nets.pictures())


def test_it_is_for_tensorrt(tmp_path: Path) -> None:
    given = ask(saved(nets.residual(), tmp_path / "model"), calibration=PICTURES)
    with pytest.raises(UnsupportedModelError, match=r"ModelOpt quantises for TensorRT, .* use --precision int8"):
        precision.get("modelopt").apply(given, tmp_path)


def test_auto_does_not_depend_on_what_is_installed() -> None:
    assert [level.name for level in precision.ladder("auto")] == ["int8", "fp16", "fp32"]
    assert [level.name for level in precision.ladder("modelopt")] == ["modelopt"]


@pytest.mark.slow
@pytest.mark.environment("modelopt", asked=True)
def test_its_graph_is_tensorrts_and_keeps_the_answers(tmp_path: Path) -> None:
    model = saved(nets.residual(), tmp_path / "model")
    target = targets.load("t4")
    given = ask(model, calibration=PICTURES, backend="tensorrt", target=target, reverted=frozenset({"block.first"}))
    made = tmp_path / "made"
    made.mkdir()
    lowered = precision.get("modelopt").apply(given, made)
    assert lowered.model.signature == model.signature
    assert lowered.method.startswith("ModelOpt, ")
    assert sorted(path.name for path in made.iterdir()) == ["model.onnx"]
    proto = onnx.load(str(lowered.model.path))
    makers = {name: node.op_type for node in proto.graph.node for name in node.output}
    floats = [n for n in proto.graph.node if n.op_type == "Conv" and makers.get(n.input[1]) != "DequantizeLinear"]
    assert len(floats) == 3, "the heads' last layers, and what was reverted"
    feeds = {"x": nets.pictures(1, seed=9)[0]}
    answers = []
    for one in (model, lowered.model):
        with runners.open(str(one.path)) as running:
            answers.append(running.run(feeds)["y"])
    assert np.abs(answers[0] - answers[1]).max() < 0.1 * np.abs(answers[0]).max()
