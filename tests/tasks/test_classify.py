"""The classifier's softmax: in the graph what it is in float64, whatever the scores are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import kit.graph
from kit import tasks
from kit.types import DataType, Interpretation, Model, Signature, Tensor

CLASSIFY = tasks.get("classify")
RAW = tasks.get("raw")


def model_of(shape: tuple[int, ...], path: Path = Path("none"), opset: int = 17) -> Model:
    scores = Tensor(name="scores", dtype=DataType.FP32, shape=shape)
    signature = Signature(inputs=(), outputs=(scores,))
    return Model(path=path, digest="", signature=signature, opset=opset, ir_version=8)


def meaning_of(classes: int, head: str) -> Interpretation:
    return Interpretation(
        task="classify",
        head=head,
        contract="served",
        class_count=classes,
        normalization=None,
        color="rgb",
        thresholds=None,
        reason="",
    )


scores = arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32))
)


@settings(max_examples=40, deadline=None)
@given(value=scores, opset=st.sampled_from([13, 17, 21]), head=st.sampled_from(["logits", "probabilities"]))
def test_the_graph_does_what_numpy_does(value: Any, opset: int, head: str) -> None:
    # Such logits are refused: they look like probabilities.
    assume(head == "probabilities" or value.min() < 0 or not np.allclose(value.sum(axis=1), 1, atol=1e-2))
    meaning = meaning_of(value.shape[1], head)
    text = CLASSIFY.head_graph(model_of((-1, value.shape[1]), opset=opset), meaning)
    assert text is not None
    running = kit.graph.session(onnx.parser.parse_model(text).SerializeToString(), threads=1)
    (made,) = running.run(None, {"raw": value})
    expected = CLASSIFY.reference({"scores": value}, meaning)["probabilities"]
    np.testing.assert_allclose(made, expected, atol=1e-6)
    assert made.dtype == expected.dtype == np.float32
    if head == "logits":
        np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
        rows = np.arange(len(value))
        np.testing.assert_array_equal(expected[rows, value.argmax(axis=1)], expected.max(axis=1))


@pytest.mark.parametrize(
    ("shape", "classes"),
    [((-1, 2), 2), ((1, 1000), 1000), ((-1, 1), None), ((-1, -1), None), ((-1, 3, 1), None), ((-1,), None)],
)
def test_which_outputs_are_a_classifiers(tmp_path: Path, shape: tuple[int, ...], classes: int | None) -> None:
    import models

    path = models.save(models.classifier(), tmp_path / "m.onnx")
    head = CLASSIFY.recognise(model_of(shape, path))
    assert (head and head.class_count) == classes


def test_raw_takes_any_model_and_changes_nothing() -> None:
    model = model_of((-1, 7, 9))
    head = RAW.recognise(model)
    assert head is not None
    meaning = meaning_of(3, head.name)
    assert RAW.head_graph(model, meaning) is None
    value = {"y": np.arange(3)}
    assert RAW.reference(value, meaning) == value
    assert [task.name for task in tasks.every()][-1] == "raw"
