"""What stands at the end of a network is not done twice, and a picture may be of any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest

import kit.graph
from kit import compare, contract, tasks
from kit.errors import ParityError
from kit.inputs import Recipe
from kit.types import Graphs, Model, Spec

SPEC = Spec(source="m.onnx", name="m", targets=("x86-cpu",))


def described(proto: onnx.ModelProto, folder: Path) -> Model:
    path = models.save(proto, folder / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))


def scores(*ending: onnx.NodeProto) -> onnx.ModelProto:
    """A classifier of four classes, its mean of each channel repeated, that ends in ``ending``: from s to y."""
    return models.build(
        [models.node("GlobalAveragePool", "x", "pooled"), models.node("Concat", "pooled pooled", "s", axis=1), *ending],
        [("x", models.FLOAT, ("batch", 3, 8, 8))],
        [("y", models.FLOAT, ("batch", 6))],
    )


SOFTMAX = models.node("Softmax", "s", "p", axis=1)


@pytest.mark.parametrize(
    ("ending", "head"),
    [
        pytest.param([models.node("Flatten", "s", "f"), models.node("Softmax", "f", "y", axis=1)], "probabilities"),
        pytest.param([SOFTMAX, models.node("Flatten", "p", "y")], "probabilities"),
        pytest.param([SOFTMAX, models.node("Identity", "p", "i"), models.node("Flatten", "i", "y")], "probabilities"),
        pytest.param([models.node("Sigmoid", "s", "p"), models.node("Flatten", "p", "y")], "probabilities"),
        pytest.param([models.node("Flatten", "s", "y")], "logits"),
    ],
    ids=["softmax", "softmax, then flat", "softmax, then two forms", "sigmoid", "logits"],
)
def test_probabilities_are_known_behind_changes_of_form(
    ending: list[onnx.NodeProto], head: str, tmp_path: Path
) -> None:
    assert contract.interpret(SPEC, described(scores(*ending), tmp_path)).head == head


def test_what_sums_to_one_is_not_put_through_a_softmax(tmp_path: Path) -> None:
    """A quotient of sigmoids looks like no softmax; its numbers tell."""
    by_hand = [
        models.node("Flatten", "s", "f"),
        models.node("Sigmoid", "f", "e"),
        models.node("ReduceSum", "e axis", "total"),
        models.node("Div", "e total", "y"),
    ]
    proto = scores(*by_hand)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axis"))
    network = described(proto, tmp_path)
    meaning = contract.interpret(SPEC, network)
    (tmp_path / "served").mkdir()
    served = contract.fuse(network, meaning, tmp_path / "served")
    graphs = Graphs(original=network, reference=None, network=network, meaning=meaning, served=served)
    with pytest.raises(ParityError, match=r"^contract: every row of the network's output sums to 1"):
        compare.check_stages(graphs, Recipe(signature=served.signature, count=2).make(), (1, 2))


def of_any_size() -> onnx.ModelProto:
    """A detector whose anchors are the pixels: 4 + 2 channels, as many anchors as the picture has pixels."""
    weights: dict[str, Any] = {
        "kernel": np.random.default_rng(0).random((6, 3, 1, 1), dtype=np.float32),
        "form": np.array([0, 6, -1], np.int64),
    }
    return models.build(
        [models.node("Conv", "x kernel", "c"), models.node("Sigmoid", "c", "s"), models.node("Reshape", "s form", "y")],
        [("x", models.FLOAT, ("batch", 3, "height", "width"))],
        [("y", models.FLOAT, ("batch", 6, "anchors"))],
        weights,
    )


@pytest.mark.parametrize("side", [4, 16, 64])
def test_a_picture_of_any_size_has_enough_anchors(side: int, tmp_path: Path) -> None:
    network = described(of_any_size(), tmp_path)
    meaning = contract.interpret(replace(SPEC, head="yolov8,pixels"), network)
    assert meaning.task == "detect"
    (tmp_path / "served").mkdir()
    served = contract.fuse(network, meaning, tmp_path / "served")
    frames = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    run = compare.runner(served.path, ["network/y"])
    got = run({"x": frames})
    assert got["boxes"].shape == (2, 100, 4)
    wanted = tasks.get("detect").reference({"y": got["network/y"]}, meaning)
    for name in ("num", "boxes", "scores", "classes"):
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-5)
