"""What the search of ``test_fuzz_onnx.py`` found: models that were answered with a traceback once."""

from __future__ import annotations

from pathlib import Path

import models
import numpy as np
import onnx
import pytest

import kit.cli
import kit.graph


def answered(model: onnx.ModelProto, folder: Path, *arguments: str) -> int:
    path = models.save(model, folder / "model.onnx")
    output = ["--output", str(folder / "out")]
    return kit.cli.run(["generate", str(path), "--no-verify", "--quiet", *output, *arguments])


def test_a_reshape_to_a_scalar_is_served(tmp_path: Path) -> None:
    model = models.build(
        [models.node("Reshape", "one nothing", "scalar"), models.node("Mul", "x scalar", "y")],
        [("x", models.FLOAT, (models.BATCH, 4))],
        [("y", models.FLOAT, (models.BATCH, 4))],
        {"one": np.ones((1, 1), np.float32), "nothing": np.zeros(0, np.int64)},
    )
    assert answered(model, tmp_path) == 0


@pytest.mark.parametrize("rank", [0, 1])
def test_a_fixed_batch_without_a_dimension_stays(tmp_path: Path, rank: int) -> None:
    model = models.build(
        [
            models.node("ReduceMax", "x", "y", keepdims=0)
            if rank == 0
            else models.node("ReduceMax", "x", "y", axes=[1], keepdims=0)
        ],
        [("x", models.FLOAT, (1, 4))],
        [("y", models.FLOAT, (1,) * rank)],
    )
    assert answered(model, tmp_path) == 0


def test_a_model_without_outputs_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = models.scale()
    del model.graph.output[:]
    assert answered(model, tmp_path) == 15
    assert capfd.readouterr().err == "kit: model.onnx has no outputs: there is nothing to serve; export it again\n"


@pytest.mark.parametrize(("opset", "domain"), [(1, "ai.onnx.ml"), (4, "com.microsoft"), (2**31 - 1, "")])
def test_an_operator_set_that_cannot_be_converted_is_refused(
    tmp_path: Path, opset: int, domain: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = models.classifier(opset=opset)
    model.graph.node[0].domain = domain
    assert answered(model, tmp_path) == 15
    said = capfd.readouterr().err
    assert said.startswith(f"kit: model.onnx has opset {opset}, ")
    assert said.count("\n") == 1


def test_a_reason_of_onnx_runtime_names_no_folder_of_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = models.scale()
    model.graph.output[0].name = "nowhere"
    assert answered(model, tmp_path) == 15
    said = capfd.readouterr().err
    assert said.endswith("This is an invalid model. Graph output (nowhere) does not exist in the graph.\n")
    assert "/" not in said
