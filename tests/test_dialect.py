"""Old, new and unusual forms of ONNX: what is brought up answers as before; what nobody can run is named."""

from __future__ import annotations

from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import kit.graph
from kit import contract, dialect, simplify, sources
from kit.compare import runner
from kit.errors import UnsupportedModelError
from kit.types import Model, Spec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stage"
    made.mkdir()
    return made


def load(model: onnx.ModelProto, folder: Path) -> Model:
    path = models.save(model, folder.parent / "source" / "given.onnx")
    return sources.resolve(str(path)).load(str(path), folder, None).model


def old(opset: int, ir_version: int = 3) -> onnx.ModelProto:
    """``y = relu(x) * 2`` as the first exporters wrote it: weights among the inputs, broadcasting as an attribute."""
    broadcast = {"broadcast": 1} if opset < 7 else {}
    return models.build(
        [models.node("Relu", "x", "r"), models.node("Mul", "r factor", "y", **broadcast)],
        [("x", models.FLOAT, ("batch", 4)), ("factor", models.FLOAT, (1,))],
        [("y", models.FLOAT, ("batch", 4))],
        {"factor": np.full(1, 2, np.float32)}, opset=opset, ir_version=ir_version,
    )  # fmt: skip


class TestOperatorSets:
    @pytest.mark.parametrize("opset", [1, 3, 5, 6])
    def test_older_than_onnx_runtime_are_raised(self, opset: int, folder: Path) -> None:
        made = load(old(opset), folder)
        assert made.opset == 13
        assert made.notes == (f"opset {opset} is older than 7, the oldest that ONNX Runtime loads: converted to 13",)
        assert [t.name for t in made.signature.inputs] == ["x"]
        feeds = {"x": np.array([[-1, 0, 1, 2]], np.float32)}
        assert runner(made.path)(feeds)["y"].tolist() == [[0, 0, 2, 4]]

    @pytest.mark.parametrize("opset", [7, 9, 12])
    def test_old_ones_that_it_loads_stay(self, opset: int, folder: Path) -> None:
        made = load(old(opset), folder)
        assert (made.opset, made.notes) == (opset, ())
        assert made.signature.inputs[0].shape == (-1, 4)

    def test_newer_than_onnx_runtime_are_lowered(self, folder: Path) -> None:
        newest = dialect.newest_opset()
        offered = onnx.defs.onnx_opset_version()
        if offered <= newest:
            pytest.skip("this onnx is not newer than its ONNX Runtime")
        made = load(models.scale(opset=offered), folder)
        assert made.opset == newest
        assert f"opset {offered} is newer than {newest}" in made.notes[0]
        assert runner(made.path)({"x": np.ones((2, 4), np.float32)})["y"].tolist() == [[2] * 4] * 2

    def test_what_cannot_be_converted_is_refused_with_the_reason(self, folder: Path) -> None:
        model = old(6)
        model.graph.node[0].op_type = "Crop"
        with pytest.raises(
            UnsupportedModelError, match=r"given\.onnx has opset 6, older than 7, .*export it with opset 18"
        ):
            load(model, folder)


class TestFormats:
    @pytest.mark.parametrize("ir_version", [11, 12, 13, 14])
    def test_a_newer_one_than_needed_is_called_an_older_one(self, ir_version: int, folder: Path) -> None:
        model = models.scale()
        model.ir_version = ir_version
        assert load(model, folder).ir_version == 10

    def test_a_newer_one_that_is_needed_stays(self) -> None:
        model = models.scale()
        model.ir_version = 11
        model.graph.initializer.append(
            TensorProto(name="tiny", data_type=TensorProto.FLOAT4E2M1, dims=[2], raw_data=b"1")
        )
        assert dialect.bring_up(model, "m")[0].ir_version == 11

    @pytest.mark.parametrize("ir_version", [3, 4, 8])
    def test_weights_among_the_inputs_are_weights(self, ir_version: int, folder: Path) -> None:
        """Triton would ask every client for them."""
        made = load(old(9, ir_version), folder)
        assert [t.name for t in made.signature.inputs] == ["x"]
        assert made.ir_version == max(4, ir_version)
        simple = folder / "simple"
        simple.mkdir()
        assert simplify.simplify(made, simple).notes == ()


SPARSE = np.array([[0, 3, 0], [5, 0, 0]], np.float32)


@pytest.mark.parametrize("indices", [[1, 3], [[0, 1], [1, 0]]])
def test_sparse_weights_are_written_out(indices: list[int] | list[list[int]], folder: Path) -> None:
    values = helper.make_tensor("w", models.FLOAT, [2], [3.0, 5.0])
    places = helper.make_tensor("w_indices", TensorProto.INT64, list(np.shape(indices)), np.ravel(indices))
    model = models.build(
        [models.node("MatMul", "x w", "y")], [("x", models.FLOAT, ("n", 2))], [("y", models.FLOAT, ("n", 3))]
    )
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    made = load(model, folder)
    assert made.notes == ("1 sparse weights were written out",)
    x = np.array([[1, 2]], np.float32)
    assert np.array_equal(runner(made.path)({"x": x})["y"], x @ SPARSE)


class TestOperators:
    @pytest.mark.parametrize(
        ("domain", "operator", "words"),
        [
            ("acme.ops", "Fancy", r"acme\.ops::Fancy \(2x\); export it without them, or with an ONNX function"),
            ("mmdeploy", "NMSRotated", r"mmdeploy::NMSRotated \(2x\); it needs MMDeploy's own library"),
            ("TRT", "EfficientNMS_TRT", r"TRT::EfficientNMS_TRT \(2x\); it is a plugin of TensorRT"),
        ],
    )
    def test_of_others_are_refused_with_their_names(self, domain: str, operator: str, words: str, folder: Path) -> None:
        nodes = [
            helper.make_node(operator, ["x"], ["h"], domain=domain),
            helper.make_node(operator, ["h"], ["y"], domain=domain),
        ]
        model = models.build(nodes, [("x", models.FLOAT, ("n", 4))], [("y", models.FLOAT, ("n", 4))])
        model.opset_import.append(helper.make_opsetid(domain, 1))
        with pytest.raises(UnsupportedModelError, match=words):
            load(model, folder)

    def test_of_others_in_a_branch_are_found(self, folder: Path) -> None:
        value = [helper.make_tensor_value_info("t", models.FLOAT, ("n", 4))]
        inner = helper.make_graph([helper.make_node("Odd", ["x"], ["t"], domain="acme")], "then", [], value)
        other = helper.make_graph([models.node("Identity", "x", "t")], "else", [], value)
        nodes = [models.node("If", "yes", "y", then_branch=inner, else_branch=other)]
        model = models.build(
            nodes, [("x", models.FLOAT, ("n", 4))], [("y", models.FLOAT, ("n", 4))], {"yes": np.array(True)}
        )
        with pytest.raises(UnsupportedModelError, match=r"acme::Odd \(1x\)"):
            load(model, folder)


def classifier_with(nodes: list[onnx.NodeProto], *domains: str) -> onnx.ModelProto:
    """A classifier whose scores pass through ``nodes``, from ``s`` to ``scores``."""
    model = models.classifier()
    del model.graph.node[-1]
    model.graph.node.extend(nodes)
    model.opset_import.extend(helper.make_opsetid(domain, 1) for domain in domains)
    return model


def microsoft() -> onnx.ModelProto:
    gelu = helper.make_node("Gelu", ["s"], ["g"], domain="com.microsoft")
    return classifier_with([gelu, models.node("Add", "g b", "scores")], "com.microsoft")


def function() -> onnx.ModelProto:
    call = helper.make_node("Twice", ["s"], ["t"], domain="own")
    model = classifier_with([call, models.node("Add", "t b", "scores")], "own")
    body = [models.node("Add", "v v", "w")]
    model.functions.append(helper.make_function("own", "Twice", ["v"], ["w"], body, [helper.make_opsetid("", 17)]))
    return model


def branch() -> onnx.ModelProto:
    value = [helper.make_tensor_value_info("t", models.FLOAT, ("batch", 3))]
    graphs = {
        f"{name}_branch": helper.make_graph([models.node(operator, "s b", "t")], name, [], value)
        for name, operator in (("then", "Add"), ("else", "Sub"))
    }
    total = models.node("ReduceSum", "s", "total", keepdims=0)
    choose = [total, models.node("Greater", "total zero", "yes"), models.node("If", "yes", "scores", **graphs)]
    model = classifier_with(choose)
    model.graph.initializer.append(helper.make_tensor("zero", models.FLOAT, [], [-1e9]))
    return model


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [models.node("Add", "carried b", "next"), models.node("Identity", "go", "again")], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ()),
         helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
         helper.make_tensor_value_info("carried", models.FLOAT, ("batch", 3))],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, ()),
         helper.make_tensor_value_info("next", models.FLOAT, ("batch", 3))],
    )  # fmt: skip
    model = classifier_with([models.node("Loop", "three  s", "scores", body=body)])
    model.graph.node[-1].input[:] = ["three", "", "s"]
    model.graph.initializer.append(helper.make_tensor("three", TensorProto.INT64, [], [3]))
    return model


@pytest.mark.parametrize("make", [microsoft, function, branch, loop])
def test_what_is_unusual_passes_every_stage_with_equal_answers(make: object, tmp_path: Path) -> None:
    """Load, simplify, put the contract around it: operators of Microsoft, functions, branches and loops survive."""
    from kit import compare, inputs
    from kit.types import Graphs

    assert callable(make)
    stages = [tmp_path / name for name in ("stage", "simple", "served")]
    for one in stages:
        one.mkdir()
    original = load(make(), stages[0])
    network = simplify.simplify(original, stages[1])
    spec = Spec(source="x", name="x", targets=("x86-cpu",))
    meaning = contract.interpret(spec, network)
    assert (meaning.task, meaning.contract) == ("classify", "served")
    served = contract.fuse(network, meaning, stages[2])
    graphs = Graphs(original=original, reference=None, network=network, meaning=meaning, served=served)
    samples = inputs.Recipe(signature=served.signature, count=2).make()
    assert [p.stage for p in compare.check_stages(graphs, samples, (1, 2))] == ["simplify", "contract"]
    assert kit.graph.describe(served.path, served.digest).signature.inputs[0].shape == (-1, 8, 10, 3)
