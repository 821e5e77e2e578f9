"""The rules of what a backend refuses, without a server: laws that hold for every shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.server.backends.shared import contract
from kit.server.backends.shared.contract import ONNXRUNTIME, Refused, Signature, TensorInfo

sizes = st.one_of(st.just(-1), st.integers(1, 5))
shapes = st.lists(sizes, min_size=1, max_size=4).map(tuple)


def made(shape: tuple[int, ...], dims: tuple[int, ...], batch: int) -> tuple[dict[str, Any], Signature]:
    """Return a configuration with ``dims`` for a model whose input and output have ``shape``."""
    tensor = {"data_type": "TYPE_FP32", "dims": list(dims)}
    config = {
        "name": "m",
        "max_batch_size": batch,
        "input": [{"name": "x", **tensor}],
        "output": [{"name": "y", **tensor}],
    }
    return config, Signature((TensorInfo("x", "FP32", shape),), (TensorInfo("y", "FP32", shape),))


def refuses(config: dict[str, Any], signature: Signature) -> bool:
    try:
        contract.check_inputs(config, signature, ONNXRUNTIME)
        contract.check_outputs(config, signature, ONNXRUNTIME)
    except Refused:
        return True
    return False


@given(shapes)
def test_the_models_own_shape_is_taken(shape: tuple[int, ...]) -> None:
    assert not refuses(*made(shape, shape, 0))
    assert not refuses(*made((-1, *shape), shape, 8))


@given(shapes, shapes)
def test_any_other_shape_is_refused(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    assert refuses(*made(shape, dims, 0)) == (shape != dims)


@given(shapes)
def test_batching_needs_a_first_dimension_of_any_size(shape: tuple[int, ...]) -> None:
    assert refuses(*made(shape, shape[1:], 8)) == (shape[0] != -1)


@pytest.mark.parametrize("key", ["batch_input", "batch_output"])
def test_what_only_the_real_backend_does_is_refused(key: str) -> None:
    config, signature = made((-1, 4), (4,), 8)
    with pytest.raises(Refused, match=f"uses {key}, which the embedded server does not offer; use a real Triton"):
        contract.check_inputs({**config, key: [{}]}, signature, ONNXRUNTIME)


def test_sequence_controls_are_inputs_and_optional_ones_are_not_counted() -> None:
    config, signature = made((4,), (4,), 0)
    config["sequence_batching"] = {"control_input": [{"name": "start"}]}
    with pytest.raises(Refused, match="configuration expects 2 inputs, model provides 1"):
        contract.check_inputs(config, signature, ONNXRUNTIME)
    del config["sequence_batching"]
    config["input"].append({"name": "z", "data_type": "TYPE_FP32", "dims": [4], "optional": True})
    overridable = (TensorInfo("z", "FP32", (4,)),)
    contract.check_inputs(config, Signature(signature.inputs, signature.outputs, overridable), ONNXRUNTIME)
