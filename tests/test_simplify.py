"""Simplifying changes the graph and nothing that a client sees; where it would, the stage is named."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kit.graph
from kit.compare import runner
from kit.simplify import UnfaithfulError, check, simplify
from kit.types import DataType, Model, Signature, Tensor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stage"
    made.mkdir()
    return made


def described(model: onnx.ModelProto, folder: Path) -> Model:
    path = models.save(model, folder.parent / "source" / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(model, path))


def folding() -> onnx.ModelProto:
    """Two constants that could be one, an Identity that does nothing, and a shape that is always the same."""
    return models.build(
        [
            models.node("Add", "one two", "three"),
            models.node("Identity", "x", "same"),
            models.node("Mul", "same three", "product"),
            models.node("Shape", "one", "shape"),
            models.node("Cast", "shape", "size", to=models.FLOAT),
            models.node("Div", "product size", "y"),
        ],
        [("x", models.FLOAT, ("batch", 4))],
        [("y", models.FLOAT, ("batch", 4))],
        {"one": np.ones(1, np.float32), "two": np.full(1, 2, np.float32)},
        metadata={"names": "['a']"},
    )


def free_size() -> onnx.ModelProto:
    return models.build(
        [models.node("Relu", "x", "y")],
        [("x", models.FLOAT, ("batch", 3, "height", "width"))],
        [("y", models.FLOAT, ("batch", 3, "height", "width"))],
    )


EVERY_KIND = {
    "folding": folding(),
    "classifier": models.classifier(),
    "detector": models.detector(anchors=8),
    "several inputs": models.two_inputs(),
    "strings": models.text_model(),
    "free size": free_size(),
    "half": models.classifier(element=models.HALF),
    "bytes": models.classifier(element=models.BYTE, layout="NHWC"),
    "fixed batch": models.scale(batch=2),
    "old opset": models.classifier(opset=11),
}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_what_a_model_takes_and_gives_stays(name: str, folder: Path) -> None:
    before = described(EVERY_KIND[name], folder)
    after = simplify(before, folder)
    assert after.signature == before.signature
    assert after.metadata == before.metadata
    assert after.opset == before.opset
    assert after.path.parent == folder
    onnx.checker.check_model(str(after.path), full_check=True)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_the_same_model_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        folder = tmp_path / str(number) / "stage"
        folder.mkdir(parents=True)
        digests.add(simplify(described(EVERY_KIND[name], folder), folder).digest)
    assert len(digests) == 1


def test_constants_are_folded_and_answers_stay(folder: Path) -> None:
    before = described(folding(), folder)
    after = simplify(before, folder)
    operators = [node.op_type for node in onnx.load(str(after.path)).graph.node]
    assert len(operators) <= 2
    assert "Shape" not in operators
    feeds = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}
    assert np.array_equal(runner(before.path)(feeds)["y"], runner(after.path)(feeds)["y"])


def test_the_given_file_is_not_touched(folder: Path) -> None:
    before = described(folding(), folder)
    content = before.path.read_bytes()
    assert simplify(before, folder).path != before.path
    assert before.path.read_bytes() == content


def test_onnxsim_says_nothing_to_the_user(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    simplify(described(folding(), folder), folder)
    assert capfd.readouterr() == ("", "")


def broken(nodes: list[onnx.NodeProto], folder: Path, width: int = 1) -> Model:
    """Return a model that no earlier stage would let pass."""
    weights = {"five": np.ones((5, 5), np.float32), "whole": np.ones(1, np.int64)}
    proto = models.build(nodes, [("x", models.FLOAT, ("n", width))], [("y", models.FLOAT, ("n", width))], weights)
    path = models.save(proto, folder.parent / "source" / "model.onnx")
    tensor = Tensor(name="x", dtype=DataType.FP32, shape=(-1, width))
    signature = Signature(inputs=(tensor,), outputs=(tensor,))
    return Model(path=path, digest="", signature=signature, opset=17, ir_version=8)


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(models.node("NoSuchOperator", "x", "y"), id="it stops at what it does not know"),
        pytest.param(models.node("Relu", "nothing", "y"), id="it stops at a graph without order"),
        pytest.param(models.node("MatMul", "x five", "y"), id="its result is checked: shapes"),
        pytest.param(models.node("Add", "x whole", "y"), id="its result is checked: types"),
    ],
)
def test_where_it_fails_the_model_stays_as_it_is_and_the_reason_is_told(node: onnx.NodeProto, folder: Path) -> None:
    before = broken([node], folder)
    after = simplify(before, folder)
    assert after.path.parent == folder
    assert after.path.read_bytes() == before.path.read_bytes()
    (note,) = after.notes
    assert note.startswith("not simplified, onnxsim failed: ")
    assert "\n" not in note
    assert len(note) < 320


def test_sizes_that_follow_from_fixed_inputs_may_become_known(folder: Path) -> None:
    """Exporters leave them open where they were computed by nodes; onnxsim computes them."""
    nodes = [
        models.node("Shape", "x", "shape"),
        models.node("Gather", "shape zero", "size"),
        models.node("Concat", "size rest", "wanted", axis=0),
        models.node("Reshape", "x wanted", "y"),
    ]
    weights = {"zero": np.array([0]), "rest": np.array([-1])}
    proto = models.build(nodes, [("x", models.FLOAT, (1, 2, 3))], [("y", models.FLOAT, ("a", "b"))], weights)
    before = described(proto, folder)
    tensor = replace(before.signature.outputs[0], shape=(-1, -1))
    before = replace(before, signature=replace(before.signature, outputs=(tensor,)))
    assert simplify(before, folder).signature.outputs[0].shape == (1, 6)


def test_a_batch_that_is_fixed_inside_leaves_the_graph_as_it_is(folder: Path) -> None:
    before = described(models.only_runs_alone(), folder)
    (folder / "simple").mkdir()
    made = simplify(before, folder / "simple")
    assert (made.digest, made.signature) == (before.digest, before.signature)
    assert made.notes == (
        "not simplified, onnxsim changed x FP32[-1, 4] to x FP32[1, 4]; the graph is served as it was read",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": ()}, "changed the number of inputs from 0 to 1"),
        ({"outputs": (Tensor(name="z", dtype=DataType.FP32, shape=(-1, 4)),)}, r"changed z FP32\[-1, 4\] to y"),
        ({"outputs": (Tensor(name="y", dtype=DataType.FP64, shape=(-1, 4)),)}, r"changed y FP64\[-1, 4\] to y FP32"),
        (
            {"outputs": (Tensor(name="y", dtype=DataType.FP32, shape=(-1, 5)),)},
            r"changed y FP32\[-1, 5\] to y FP32\[-1, 4\]",
        ),
    ],
)
def test_every_other_change_is_told_as_well(change: dict[str, tuple[Tensor, ...]], words: str, folder: Path) -> None:
    """onnxsim keeps to it today; here the model before is said to be another one."""
    before = described(models.scale(), folder)
    before = replace(before, signature=replace(before.signature, **change))
    (folder / "simple").mkdir()
    made = simplify(before, folder / "simple")
    assert made.digest == before.digest
    assert re.match(f"not simplified, onnxsim {words}", made.notes[0])


def test_a_result_that_answers_otherwise_is_refused(folder: Path) -> None:
    before = described(folding(), folder)
    other = onnx.load(str(before.path))
    other.graph.node[0].op_type = "Sub"
    feeds = {"x": np.ones((1, 4), np.float32)}
    answers, others = (runner(m.path)(feeds) for m in (before, described(other, folder / "stage")))
    check(answers, answers)
    with pytest.raises(UnfaithfulError, match=r"^onnxsim's own check found that its result answers otherwise"):
        check(answers, others)


def moved(by: float, path: Path) -> Path:
    """Write a model that adds ``by`` to what it is given."""
    graph = models.build(
        [models.node("Add", "x by", "y")], [("x", models.FLOAT, (1,))], [("y", models.FLOAT, (1,))],
        {"by": np.float32([by])},
    )  # fmt: skip
    return models.save(graph, path)


@given(value=st.floats(-1e3, 1e3, width=32), share=st.floats(-1.5, 1.5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_its_bounds_are_those_of_onnxsim(tmp_path: Path, value: float, share: float) -> None:
    from onnxsim import model_checking

    feeds = {"x": np.float32([value])}
    before, after = (moved(by, tmp_path / f"{by}.onnx") for by in (0.0, share * (1e-5 + 1e-4 * abs(value))))
    equal = model_checking.compare(str(after), str(before), n_times=1, input_data=feeds, verbose=False)
    with nullcontext() if equal else pytest.raises(UnfaithfulError):
        check(runner(before)(feeds), runner(after)(feeds))
