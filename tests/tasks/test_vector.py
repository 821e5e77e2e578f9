"""Class scores or an embedding: told apart by how the network ends, and not guessed where that does not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from models import node

import kit.graph
from kit import compare, contract, tasks
from kit.errors import AmbiguousModelError, UnsupportedModelError
from kit.inputs import Recipe
from kit.types import Certainty, DataType, Graphs, Interpretation, Model, Signature, Spec, Tensor

SPEC = Spec(source="m.onnx", name="m", targets=("x86-cpu",))


def described(proto: onnx.ModelProto, folder: Path) -> Model:
    path = models.save(proto, folder / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))


def network(
    size: int,
    *ending: onnx.NodeProto,
    opset: int = 17,
    metadata: dict[str, str] | None = None,
    element: int = models.FLOAT,
    shape: tuple[int, ...] | None = None,
    head: str = "linear",
) -> onnx.ModelProto:
    """A picture's mean through one layer of ``size`` to ``v`` [N, size], then ``ending`` from v to y."""
    generator = np.random.default_rng(0)
    half = element == models.HALF
    kind = np.float16 if half else np.float32
    weights: dict[str, Any] = {
        "w": generator.normal(size=(3, size)).astype(kind),
        "b": generator.normal(size=size).astype(kind),
        "kernel": generator.normal(size=(size, 3, 1, 1)).astype(kind),
        "one": np.array([1], np.int64),
        "tiny": kind(1e-12 if not half else 1e-4),
        "scale": np.ones(size, kind),
        "two": kind(2),
    }
    body = {
        "linear": [node("GlobalAveragePool", "x", "m"), node("Flatten", "m", "f"), node("Gemm", "f w b", "v")],
        "matmul": [node("GlobalAveragePool", "x", "m"), node("Flatten", "m", "f"), node("MatMul", "f w", "u"),
                   node("Add", "u b", "v")],
        "pooled": [node("Conv", "x kernel", "c"), node("GlobalAveragePool", "c", "m"), node("Flatten", "m", "v")],
        "map": [node("GlobalAveragePool", "x", "m"), node("Conv", "m kernel", "v")],
    }[head]  # fmt: skip
    nodes = [*body, *(ending or [node("Identity", "v", "y")])]
    needed = {name for n in nodes for name in n.input}
    used = {k: v for k, v in weights.items() if k in needed}
    full = shape or ((size, 1, 1) if head == "map" else (size,))
    return models.build(nodes, [("x", element, ("batch", 3, 8, 8))], [("y", element, ("batch", *full))], used,
                        opset=opset, metadata=metadata)  # fmt: skip


UNIT_LENGTH = {
    "torch's normalize": [node("ReduceL2", "v", "l", axes=[1]), node("Max", "l tiny", "c"), node("Shape", "v", "h"),
                          node("Expand", "c h", "e"), node("Div", "v e", "y")],
    "x / x.norm()": [node("ReduceL2", "v", "l", axes=[1]), node("Div", "v l", "y")],
    "TensorFlow's l2_normalize": [node("Mul", "v v", "q"), node("ReduceSum", "q one", "s"), node("Max", "s tiny", "c"),
                                  node("Sqrt", "c", "r"), node("Reciprocal", "r", "i"), node("Mul", "v i", "y")],
    "by hand": [node("Pow", "v two", "q"), node("ReduceSum", "q one", "s"), node("Sqrt", "s", "r"),
                node("Div", "v r", "y")],
    "LpNormalization": [node("LpNormalization", "v", "y", axis=-1, p=2)],
}  # fmt: skip
LAYER_NORM = [
    node("ReduceMean", "v", "m1", axes=[1]), node("Sub", "v m1", "d"), node("Pow", "d two", "q"),
    node("ReduceMean", "q", "m2", axes=[1]), node("Add", "m2 tiny", "a"), node("Sqrt", "a", "r"),
    node("Div", "d r", "n"), node("Mul", "n scale", "k"), node("Add", "k b", "y"),
]  # fmt: skip
SOFTMAX_BY_HAND = [
    node("ReduceMax", "v", "m1", axes=[1]), node("Sub", "v m1", "d"), node("Exp", "d", "e"),
    node("ReduceSum", "e one", "s"), node("Div", "e s", "y"),
]  # fmt: skip
BATCH_NORM = [node("BatchNormalization", "v scale b b scale", "y")]

CERTAIN, LIKELY = Certainty.CERTAIN, Certainty.LIKELY


class TestRecognition:
    @pytest.mark.parametrize("ending", UNIT_LENGTH.values(), ids=UNIT_LENGTH.keys())
    @pytest.mark.parametrize("size", [128, 100])
    def test_a_vector_of_length_1_is_an_embedding_however_it_was_written(
        self, ending: list[onnx.NodeProto], size: int, tmp_path: Path
    ) -> None:
        found = contract.interpret(SPEC, described(network(size, *ending), tmp_path))
        assert (found.task, found.head, found.certainty, found.class_count) == ("embed", "normalised", CERTAIN, None)

    @pytest.mark.parametrize(
        ("proto", "task", "head", "certainty"),
        [
            pytest.param(network(10), "classify", "logits", LIKELY, id="a layer of 10"),
            pytest.param(network(1000, head="matmul"), "classify", "logits", LIKELY, id="1000, MatMul and Add"),
            pytest.param(network(1000, head="pooled"), "classify", "logits", LIKELY, id="1000, pooled as SqueezeNet"),
            pytest.param(network(1000, head="map"), "classify", "logits", LIKELY, id="[N, 1000, 1, 1]"),
            pytest.param(
                network(512, metadata={"names": repr([f"n{i}" for i in range(512)])}), "classify", "logits", CERTAIN,
                id="512 names",
            ),
            pytest.param(network(512, metadata={"task": "classify"}), "classify", "logits", CERTAIN, id="Ultralytics"),
            pytest.param(
                network(512, node("Softmax", "v", "y", axis=1)), "classify", "probabilities", CERTAIN, id="softmax"
            ),
            pytest.param(
                network(64, node("LogSoftmax", "v", "y", axis=1)), "classify", "logits", CERTAIN, id="log-softmax"
            ),
            pytest.param(network(64, *SOFTMAX_BY_HAND), "classify", "probabilities", CERTAIN, id="softmax by hand"),
            pytest.param(network(64, node("Sigmoid", "v", "y")), "classify", "probabilities", LIKELY, id="multi-label"),
            pytest.param(network(1, node("Sigmoid", "v", "y")), "classify", "probabilities", LIKELY, id="yes or no"),
            pytest.param(network(512, *BATCH_NORM), "embed", "features", LIKELY, id="batch norm, as ArcFace"),
            pytest.param(network(100, *BATCH_NORM), "embed", "features", LIKELY, id="batch norm of 100"),
            pytest.param(network(768, *LAYER_NORM), "embed", "features", LIKELY, id="layer norm by hand, as ViT"),
            pytest.param(
                network(768, node("LayerNormalization", "v scale b", "y", axis=-1)), "embed", "features", LIKELY,
                id="layer norm",
            ),
            pytest.param(network(2048, head="pooled"), "embed", "features", LIKELY, id="pooled, as ResNet's features"),
            pytest.param(network(512, node("Relu", "v", "y")), "embed", "features", LIKELY, id="VGG's features"),
            pytest.param(
                network(10, metadata={"task": "feature-extraction"}), "embed", "features", CERTAIN, id="Hugging Face"
            ),
            pytest.param(network(1), "raw", "raw", Certainty.UNSURE, id="one number"),
        ],
    )  # fmt: skip
    def test_goes_by_the_end_of_the_network_and_the_metadata(
        self, proto: onnx.ModelProto, task: str, head: str, certainty: Certainty, tmp_path: Path
    ) -> None:
        found = contract.interpret(SPEC, described(proto, tmp_path))
        assert (found.task, found.head, found.certainty) == (task, head, certainty)

    @pytest.mark.parametrize(("author", "assumed"), [("Ultralytics", 0.0), ("somebody", 0.485)])
    def test_a_classifier_of_ultralytics_takes_pixels_from_0_to_1(
        self, author: str, assumed: float, tmp_path: Path
    ) -> None:
        metadata = {"author": author, "task": "classify"}
        found = contract.interpret(SPEC, described(network(10, metadata=metadata), tmp_path))
        assert found.normalization is not None
        assert found.normalization.mean[0] == assumed

    @pytest.mark.parametrize("size", [64, 128, 512, 1024])
    def test_a_layer_that_may_be_either_is_not_guessed(self, size: int, tmp_path: Path) -> None:
        model = described(network(size), tmp_path)
        with pytest.raises(AmbiguousModelError, match=r"give --task classify for .*, or --task embed for .*") as told:
            contract.interpret(SPEC, model)
        assert told.value.exit_code == 18
        for task in ("classify", "embed"):
            asked = Spec(source="m", name="m", targets=(), task=task)
            found = contract.interpret(asked, model)
            assert (found.task, found.certainty) == (task, CERTAIN)
        assert contract.interpret(Spec(source="m", name="m", targets=(), contract="native"), model).contract == "native"

    def test_several_outputs_are_neither(self, tmp_path: Path) -> None:
        proto = network(10, node("Identity", "v", "y"), node("Identity", "v", "z"))
        proto.graph.output.append(onnx.helper.make_tensor_value_info("z", models.FLOAT, ("batch", 10)))
        model = described(proto, tmp_path)
        assert contract.interpret(SPEC, model).task == "raw"
        with pytest.raises(UnsupportedModelError, match=r"embed takes one FP32 or FP16 output \[N, features\]"):
            contract.interpret(Spec(source="m", name="m", targets=(), task="embed"), model)


@pytest.mark.parametrize("legacy", [False, True], ids=["dynamo", "torchscript"])
def test_what_torch_exports_of_normalize_is_known(legacy: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 128)

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.normalize(self.layer(x.mean((2, 3))))

    import warnings

    path = tmp_path / "net.onnx"
    example = (torch.zeros(2, 3, 8, 8),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if legacy:
            torch.onnx.export(Net().eval(), example, str(path), dynamo=False, opset_version=17,
                              dynamic_axes={"x": {0: "n"}}, input_names=["x"])  # fmt: skip
        else:
            torch.onnx.export(Net().eval(), example, str(path), dynamo=True, opset_version=18, external_data=False,
                              dynamic_shapes=({0: "n"},), verbose=False)  # fmt: skip
    model = kit.graph.describe(path, "")
    assert (found := contract.interpret(SPEC, model)).task == "embed"
    assert (found.head, found.certainty) == ("normalised", CERTAIN)


class TestServed:
    @pytest.mark.parametrize("head", ["linear", "map"])
    @pytest.mark.parametrize("task", ["classify", "embed"])
    @pytest.mark.parametrize("element", [models.FLOAT, models.HALF], ids=["FP32", "FP16"])
    @pytest.mark.parametrize("opset", [13, 17, 21])
    def test_each_form_and_type_becomes_rows_of_fp32(
        self, head: str, task: str, element: int, opset: int, tmp_path: Path
    ) -> None:
        model = described(network(20, head=head, element=element, opset=opset), tmp_path)
        meaning = contract.interpret(Spec(source="m", name="m", targets=(), task=task), model)
        (tmp_path / "served").mkdir()
        served = contract.fuse(model, meaning, tmp_path / "served")
        (output,) = served.signature.outputs
        assert (output.dtype, output.shape) == (DataType.FP32, (-1, 20))
        assert output.name == {"classify": "probabilities", "embed": "embedding"}[task]
        graphs = Graphs(original=model, reference=None, network=model, meaning=meaning, served=served)
        found = compare.check_stages(graphs, Recipe(signature=served.signature, count=3).make(), (1, 2, 3))
        assert {d.output for p in found if p.stage == "contract" for d in p.differences} == {"network/y", output.name}

    @settings(max_examples=40, deadline=None)
    @given(
        value=arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(2, 40)),
                            elements=st.floats(-1e4, 1e4, width=32)),
        opset=st.sampled_from([13, 18, 21]),
    )  # fmt: skip
    def test_an_embedding_has_length_1_and_keeps_its_direction(self, value: Any, opset: int) -> None:
        embed = tasks.get("embed")
        taken = Tensor(name="y", dtype=DataType.FP32, shape=(-1, value.shape[1]))
        model = Model(path=Path("none"), digest="", signature=Signature(inputs=(), outputs=(taken,)), opset=opset,
                      ir_version=8)  # fmt: skip
        meaning = Interpretation(task="embed", head="features", contract="served", class_count=None,
                                 normalization=None, color="rgb", thresholds=None, reason="")  # fmt: skip
        text = embed.head_graph(model, meaning)
        assert text is not None
        running = kit.graph.session(onnx.parser.parse_model(text).SerializeToString(), threads=1)
        (made,) = running.run(None, {"raw": value})
        expected = embed.reference({"y": value}, meaning)["embedding"]
        np.testing.assert_allclose(made, expected, atol=1e-5)
        length = np.linalg.norm(value.astype(np.float64), axis=1)
        usual = length > 1e-6
        np.testing.assert_allclose(np.linalg.norm(expected[usual], axis=1), 1, atol=1e-5)
        wide = value.astype(np.float64)
        np.testing.assert_allclose((expected * wide).sum(axis=1)[usual], length[usual], rtol=1e-5)
