"""``kit generate --runtime tensorrt``: what an engine is built from, and the configuration that will load it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import networks
import onnx
import pytest
from devices import generate

import kit.graph
from kit import config, manifest, runtimes, targets
from kit.errors import UnsupportedModelError
from kit.types import Model


def published(folder: Path, name: str = "detector") -> manifest.Manifest:
    found = manifest.read(folder / name)
    assert found is not None
    return found


def described(proto: onnx.ModelProto, folder: Path) -> Model:
    path = models.save(proto, folder / "given" / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))


def build(model: Model, folder: Path, **stack: Any) -> Any:
    known = targets.load("t4")
    target = replace(known, stack=replace(known.stack, **stack))
    made = folder / "made"
    made.mkdir()
    return runtimes.choose(target, "tensorrt").build(model, target, made)


@pytest.mark.parametrize("proto", [networks.ssd(ending="Sigmoid"), networks.yolox()], ids=["ssd", "yolox"])
def test_the_configuration_names_an_engine_that_is_still_to_be_built(proto: onnx.ModelProto, tmp_path: Path) -> None:
    folder = generate(proto, tmp_path / "repository", targets=("t4", "l4"))
    found = published(folder)
    assert set(found.files) >= {"1/model.onnx", "configs/t4.pbtxt", "configs/l4.pbtxt"}
    for name in ("t4", "l4"):
        text = (folder / f"detector/configs/{name}.pbtxt").read_text()
        parsed = config.parse(text)
        assert parsed.backend == "tensorrt"
        assert parsed.default_model_filename == f"model.{name}.plan"
        assert parsed.parameters["kit_digest"].string_value == found.files["1/model.onnx"]
        assert f"# Its engine is built on the device: kit build model_repository --target {name}\n" in text
    operators = {node.op_type for node in onnx.load(str(folder / "detector/1/model.onnx")).graph.node}
    assert "NonMaxSuppression" not in operators


def test_a_native_model_is_built_from_as_it_is(tmp_path: Path) -> None:
    folder = generate(models.scale(), tmp_path / "repository", contract="native")
    assert published(folder).targets["t4"].backend == "tensorrt"


def test_a_graph_that_is_too_new_is_refused(tmp_path: Path) -> None:
    model = described(models.scale(opset=21), tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"reads opset 20; the model has opset 21: export it"):
        build(model, tmp_path, tensorrt_version="10.11.0.33")


def test_more_rows_than_a_topk_gives_are_refused(tmp_path: Path) -> None:
    weights = {"k": [4000]}
    proto = models.build(
        [models.node("TopK", "x k", "y i", axis=1)], [("x", models.FLOAT, (models.BATCH, 5000))],
        [("y", models.FLOAT, (models.BATCH, 4000))], weights,
    )  # fmt: skip
    with pytest.raises(UnsupportedModelError, match=r"chooses the 4000 best, and TensorRT's TopK gives at most 3840"):
        build(described(proto, tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("stack", "told"),
    [({"tensorrt_version": None}, "t4 names no TensorRT"), ({"tensorrt_version": "7.1.3"}, "the kit knows")],
)  # fmt: skip
def test_a_target_without_a_tensorrt_of_ours_is_refused(stack: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=told):
        build(described(models.scale(), tmp_path), tmp_path, **stack)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = described(networks.yolov8(metadata=networks.ultralytics("detect", 5)), tmp_path)
    first = build(model, tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    assert build(model, again).digest == first.digest
