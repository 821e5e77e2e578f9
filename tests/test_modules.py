"""Names of weights and nodes lead to modules; what leads nowhere is said to."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import modules

WORD = st.from_regex(r"[a-z][a-z0-9]{0,5}|[0-9]{1,2}", fullmatch=True)
PATH = st.lists(WORD, min_size=1, max_size=5).map(lambda words: ".".join(["net", *words]))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("backbone.stem.0.0.weight", "backbone.stem.0.0"),
        ("network/backbone.stem.0.0.bias", "backbone.stem.0.0"),
        ("network/backbone.stem.0.0.weight_quantized", "backbone.stem.0.0"),
        ("network/head.scales.0", "head.scales"),
        ("fc.weight_DequantizeLinear_Output", "fc"),
        ("onnx::Conv_345", None),
        ("w0", None),
        ("val_12", None),
        ("", None),
    ],
)
def test_a_weights_module(name: str, module: str | None) -> None:
    assert modules.of_weight(name) == module


@pytest.mark.parametrize(
    ("name", "weights", "module"),
    [
        ("node_conv2d_3", ["a.b.weight", "a.b.bias"], "a.b"),
        ("network/node_conv2d_3", ["val_3"], None),
        ("/model.22/cv2.0/cv2.0.1/conv/Conv", ["onnx::Conv_3"], "model.22.cv2.0.1.conv"),
        ("/conv/Conv", [], "conv"),
        ("/Mul", [], None),
        ("Conv_5", [], None),
    ],
)
def test_a_nodes_module(name: str, weights: list[str], module: str | None) -> None:
    assert modules.of_node(name, weights) == module


@given(PATH, st.sampled_from(["weight", "bias", "running_var"]), st.sampled_from(["", "_quantized", "_scale"]))
def test_a_parameters_module_is_its_path(path: str, parameter: str, suffix: str) -> None:
    assert modules.of_weight(f"network/{path}.{parameter}{suffix}") == path


@given(st.lists(PATH, min_size=1))
def test_what_is_shared_holds_all(paths: list[str]) -> None:
    common = modules.shared(paths)
    assert all(f"{path}.".startswith(f"{common}.") for path in paths)
    assert modules.shared(paths[:1]) == paths[0]


def test_every_layer_of_an_exported_network_has_its_module() -> None:
    proto = onnx.load(str(Path(__file__).parents[1] / "examples" / "digits" / "digits.onnx"))
    weights = {tensor.name for tensor in proto.graph.initializer}
    convolutions = [n for n in proto.graph.node if n.op_type == "Conv"]
    found = [modules.of_node(n.name, [i for i in n.input if i in weights]) for n in convolutions]
    assert None not in found
    assert found[0] == "backbone.stem.0.0"
    assert "head.class_branch.1" in found
