"""OpenVINO for real: the IR, what runs it, and what is seen where it answers otherwise than its graph.

They run where its environment has been made already, or with KIT_TEST_ENVIRONMENTS=openvino, which makes it: 270 MB.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import models
import networks
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import kit.cli
import kit.graph
from kit import built, contract, inputs, runners, runtimes, simplify, targets
from kit.errors import ParityError, SourceNotFoundError, UnsupportedModelError
from kit.server import embedded
from kit.targets.values import Target
from kit.types import Artifact, Graphs, Model, Spec

pytestmark = pytest.mark.environment("openvino")
TARGET = targets.load("x86-cpu")
OPENVINO = runtimes.choose(TARGET, "openvino")
Served = Callable[[onnx.ModelProto], Graphs]


def described(proto: onnx.ModelProto, folder: Path) -> Model:
    path = models.save(proto, folder / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))


@pytest.fixture
def served(tmp_path: Path) -> Served:
    """Return the graphs of a network, as ``kit generate`` makes them."""

    def make(proto: onnx.ModelProto) -> Graphs:
        for name in ("source", "simple", "fused"):
            (tmp_path / name).mkdir()
        original = described(proto, tmp_path / "source")
        network = simplify.simplify(original, tmp_path / "simple")
        meaning = contract.interpret(Spec(source="m.onnx", name="m", targets=("x86-cpu",)), network)
        fused = contract.fuse(network, meaning, tmp_path / "fused")
        return Graphs(original=original, reference=None, network=network, meaning=meaning, served=fused)

    return make


def held(graphs: Graphs, folder: Path, runtime: Any = OPENVINO) -> built.Built:
    samples = inputs.Recipe(signature=graphs.served.signature, count=2).make()
    return built.check(graphs, graphs.served, runtime, TARGET, samples, (1, 2), folder)


@pytest.mark.parametrize(
    "proto",
    [
        # Most of its scores are 1 to the last bit: ties, which OpenVINO's own TopK settles in any order.
        pytest.param(networks.yolov8(), id="equal scores"),
        pytest.param(networks.yolov10(), id="rows that the network chose"),
        pytest.param(networks.ssd(background=9.0), id="outputs in another order than they are read in"),
        pytest.param(networks.yolov8_segment(), id="masks"),
    ],
)
def test_detectors_answer_as_their_graph_does(proto: onnx.ModelProto, served: Served, tmp_path: Path) -> None:
    graphs = served(proto)
    found = held(graphs, tmp_path)
    assert found.parity.stage == "openvino"
    assert {d.output for d in found.parity.differences} >= {"num", "boxes", "scores", "classes"}
    assert max(d.relative for d in found.parity.differences) < 1e-4


class Tampering:
    """A runtime that loses a little of one weight on the way."""

    name = "openvino"

    def build(self, model: Model, target: Target, folder: Path) -> Artifact:
        proto = onnx.load(str(model.path))
        weight = max(proto.graph.initializer, key=lambda t: int(np.prod(t.dims)))
        changed = numpy_helper.to_array(weight) * np.float32(1.02)
        weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
        path = folder / "changed.onnx"
        return OPENVINO.build(kit.graph.describe(path, kit.graph.write(proto, path)), target, folder)


def test_a_network_that_changed_on_the_way_is_found(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"^openvino: output network/output0 differs at batch 1: by "):
        held(served(networks.yolov8()), tmp_path, Tampering())


def graph(nodes: list[Any], outputs: dict[str, int], given: int = TensorProto.FLOAT, initializers: Any = ()) -> Any:
    return helper.make_model(
        helper.make_graph(
            nodes, "graph", [helper.make_tensor_value_info("x", given, ["batch", 4])],
            [helper.make_tensor_value_info(name, kind, ["batch", 4]) for name, kind in outputs.items()],
            list(initializers),
        ),
        opset_imports=[helper.make_opsetid("", 18)], ir_version=8,
    )  # fmt: skip


def weighted(kind: type[np.generic]) -> Any:
    """``x`` times two large weights, the first of which is kept as ``kind``."""
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("MatMul", ["h", "b"], ["y"])]
    name = "a_kept" if kind is np.float16 else "a"
    if kind is np.float16:
        nodes.insert(0, helper.make_node("Cast", ["a_kept"], ["a"], to=TensorProto.FLOAT))
    generator = np.random.default_rng(0)
    first = numpy_helper.from_array(generator.random((4, 4096)).astype(kind), name)
    second = numpy_helper.from_array(generator.random((4096, 4)).astype(np.float32), "b")
    return graph(nodes, {"y": TensorProto.FLOAT}, initializers=(first, second))


class TestTheFile:
    def test_it_is_the_same_each_time(self, tmp_path: Path) -> None:
        model = described(models.detector(anchors=60), tmp_path)
        digests = []
        for name in ("once", "again"):
            (tmp_path / name).mkdir()
            made = OPENVINO.build(model, TARGET, tmp_path / name)
            digests.append([file.digest for file in made.files])
            assert [file.filename for file in made.files] == ["model.xml", "model.bin"]
            assert made.signature == model.signature
        assert digests[0] == digests[1]

    def test_each_weight_keeps_the_precision_of_the_graph(self, tmp_path: Path) -> None:
        sizes = {}
        for kind in (np.float32, np.float16):
            folder = tmp_path / kind.__name__
            folder.mkdir()
            made = OPENVINO.build(described(weighted(kind), folder), TARGET, folder)
            sizes[kind] = made.beside[0].path.stat().st_size
        assert sizes[np.float32] == pytest.approx(2 * 4096 * 4 * 4, rel=0.01)
        assert sizes[np.float16] == pytest.approx(4096 * 4 * (2 + 4), rel=0.01)

    def test_every_output_has_its_own_name_where_two_are_one_tensor(self, tmp_path: Path) -> None:
        nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Identity", ["a"], ["b"])]
        nodes += [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Add", ["a", "b"], ["c"])]
        outputs = dict.fromkeys(("a", "b", "same", "c"), TensorProto.FLOAT)
        made = OPENVINO.build(described(graph(nodes, outputs), tmp_path), TARGET, tmp_path)
        x = np.array([[-1, 2, -3, 4]], np.float32)
        with runners.open(str(made.path)) as running:
            assert [t.name for t in running.signature.outputs] == list(outputs)
            answer = running.run({"x": x})
        relu = np.maximum(x, 0)
        for name, wanted in {"a": relu, "b": relu, "same": x, "c": relu * 2}.items():
            np.testing.assert_array_equal(answer[name], wanted)

    def test_a_type_that_the_backend_has_not(self, tmp_path: Path) -> None:
        proto = graph([helper.make_node("Neg", ["x"], ["y"])], {"y": TensorProto.DOUBLE}, TensorProto.DOUBLE)
        with pytest.raises(UnsupportedModelError, match='has no FP64, which "x" is; serve it with --runtime onnxrunt'):
            OPENVINO.build(described(proto, tmp_path), TARGET, tmp_path)

    def test_an_operator_that_it_has_not(self, tmp_path: Path) -> None:
        model = described(models.scale(), tmp_path)
        proto = onnx.load(str(model.path))
        proto.graph.node[0].domain = "com.microsoft"
        proto.graph.node[0].op_type = "QMoE"
        model.path.write_bytes(proto.SerializeToString())
        with pytest.raises(UnsupportedModelError, match=r"^OpenVINO cannot convert the model: .*QMoE.*") as raised:
            OPENVINO.build(model, TARGET, tmp_path)
        assert "\n" not in str(raised.value)
        assert "--runtime onnxruntime" in str(raised.value)


class TestTies:
    """ONNX: "Given two equivalent values, this operator uses the indices along the axis as a tiebreaker"."""

    CASES = (  # axis, how many of how many, the largest?
        pytest.param((2, 400), 1, 30, 1, id="some of many"),
        pytest.param((2, 5, 300), -1, 290, 1, id="nearly all, last axis by its negative number"),
        pytest.param((1, 60, 7), 1, 20, 1, id="an axis in the middle"),
        pytest.param((2, 50), 1, 50, 1, id="all"),
        pytest.param((2, 50), 1, 1, 1, id="one"),
        pytest.param((2, 50), 1, 9, 0, id="the smallest"),
    )

    @pytest.mark.parametrize(("shape", "axis", "count", "largest"), CASES)
    def test_the_first_of_equals_wins(
        self, shape: tuple[int, ...], axis: int, count: int, largest: int, tmp_path: Path
    ) -> None:
        sizes: list[Any] = ["batch", *shape[1:]]
        proto = models.build(
            [models.node("TopK", "x k", "value place", axis=axis, largest=largest)],
            [("x", models.FLOAT, sizes)],
            [
                ("value", models.FLOAT, ["batch", *[None] * (len(shape) - 1)]),
                ("place", 7, ["batch", *[None] * (len(shape) - 1)]),
            ],
            {"k": np.array([count], np.int64)},
        )
        made = OPENVINO.build(described(proto, tmp_path), TARGET, tmp_path)
        chance = np.random.default_rng(0)
        with runners.open(str(made.path)) as running:
            for levels in (2, 7, 1000, 1):
                x = (chance.integers(-levels // 2, levels, shape) / 8).astype(np.float32)
                answer = running.run({"x": x})
                order = np.argsort(-x if largest else x, axis=axis, kind="stable")
                wanted = np.take(order, range(count), axis=axis)
                np.testing.assert_array_equal(answer["place"], wanted)
                np.testing.assert_array_equal(answer["value"], np.take_along_axis(x, wanted, axis))

    def test_none_is_settled_slowly(self, served: Served, tmp_path: Path) -> None:
        """A stable TopK compares each value with each that it keeps."""
        made = OPENVINO.build(served(networks.yolov10()).served, TARGET, tmp_path)
        compared = []
        for layer in ET.parse(made.path).iter("layer"):
            data = layer.find("data")
            if layer.get("type") == "TopK" and data is not None and data.get("stable") == "true":
                ports = [[int(d.text or 0) for d in port.iter("dim")] for port in layer.iter("port")]
                axis = int(data.get("axis", 0))
                compared.append((ports[0][axis], ports[2][axis]))
        assert compared
        assert all(kept in (1, given) for given, kept in compared)


class TestTheRunner:
    def test_it_reads_its_own(self) -> None:
        runner = runners.get("openvino")
        read = {r for r in ("a.xml", "A.XML@f32", "a.xml@f32@dynamic", "a.xml@f16", "a.onnx", "xml") if runner.reads(r)}
        assert read == {"a.xml", "A.XML@f32", "a.xml@f32@dynamic"}

    def test_it_answers_at_any_batch_and_says_what_it_cannot(self, tmp_path: Path) -> None:
        model = described(models.classifier(), tmp_path)
        made = OPENVINO.build(model, TARGET, tmp_path)
        samples = inputs.Recipe(signature=model.signature, count=5).make()
        with runners.open(f"{made.path}@f32", threads=1) as running, runners.open(str(model.path)) as onnxruntime:
            for size in (1, 5, 2, 3, 4, 1):
                got, wanted = running.run(samples.batch(size)), onnxruntime.run(samples.batch(size))
                for name, value in wanted.items():
                    np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5)
            name, value = next(iter(samples.batch(1).items()))
            with pytest.raises(UnsupportedModelError, match=f"OpenVINO does not run it with {name}"):
                running.run({name: value[..., :2]})
            assert running.run(samples.batch(1))  # it lives

    def test_weights_that_are_missing(self, tmp_path: Path) -> None:
        made = OPENVINO.build(described(models.scale(), tmp_path), TARGET, tmp_path)
        made.beside[0].path.unlink()
        with pytest.raises(SourceNotFoundError, match=r"model\.bin is not there; give the path of an \.xml file with"):
            runners.open(str(made.path))


@pytest.mark.live
@pytest.mark.skipif(embedded.unavailable_reason() is not None, reason="no server can run here")
def test_the_server_equals_openvino_to_the_bit(
    cold_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    models.save(networks.yolov8(), Path("m.onnx"))
    before = ["generate", "m.onnx", "--runtime", "openvino", "--json"]

    def generate(*options: str) -> dict[str, Any]:
        capfd.readouterr()
        assert kit.cli.run([*before, *options]) == 0, capfd.readouterr().err
        answer: dict[str, Any] = json.loads(capfd.readouterr().out)
        return answer

    made = generate()
    target = made["manifest"]["targets"]["x86-cpu"]
    assert target["backend"] == "openvino"
    assert target["verification"]["level"] == "live"
    assert target["verification"]["tolerance"] == 0
    assert target["verification"]["batches"] == [1]
    assert set(made["manifest"]["files"]) >= {"1/model.xml", "1/model.bin"}
    assert made["manifest"]["tools"]["openvino/openvino"].startswith("20")
    assert not generate()["entry"]["changed"]
    text = Path("model_repository/m/config.pbtxt").read_text()
    assert 'backend: "openvino"' in text
    assert "max_batch_size: 1" in text

    # Sizes stay variable: other kernels, and equal again.
    free = generate("--max-batch-size", "0", "--verify", "live")
    assert free["manifest"]["targets"]["x86-cpu"]["verification"]["level"] == "live"
    assert kit.cli.run([*before, "--max-batch-size", "4"]) == 15
    assert "answers only full batches" in capfd.readouterr().err
    assert kit.cli.run([*before, "--target", "t4"]) == 15
    assert "t4 has the backends" in capfd.readouterr().err


def test_a_target_file_that_differs_makes_no_other_ir(tmp_path: Path) -> None:
    model = described(models.scale(), tmp_path)
    other = replace(TARGET, name="other")
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    made = [OPENVINO.build(model, target, folder) for target, folder in zip((TARGET, other), folders, strict=True)]
    assert made[0].digest == made[1].digest
