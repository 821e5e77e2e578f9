"""Each pixel's scores or class: recognised by proportions and endings, equal to plain numpy, small where asked for."""

from __future__ import annotations

from dataclasses import replace
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
from onnx import TensorProto

import kit.graph
from kit import compare, contract, tasks
from kit.errors import UnsupportedModelError, UsageError
from kit.inputs import Recipe
from kit.types import Certainty, DataType, Graphs, Interpretation, Layout, Model, Normalization, Signature, Spec, Tensor

SPEC = Spec(source="m.onnx", name="m", targets=("x86-cpu",))
SEGMENT = tasks.get("segment")
CERTAIN, LIKELY, UNSURE = Certainty.CERTAIN, Certainty.LIKELY, Certainty.UNSURE
SIDE = (8, 12)


def described(proto: onnx.ModelProto, folder: Path) -> Model:
    path = models.save(proto, folder / "model.onnx")
    return kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))


def network(
    channels: int = 5,
    *ending: onnx.NodeProto,
    shape: tuple[int | str, ...] | None = None,
    element: int = models.FLOAT,
    stride: int = 1,
    side: tuple[int | str, int | str] = SIDE,
    opset: int = 17,
    last: bool = False,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """One convolution to ``v`` [N, channels, H / stride, W / stride], then ``ending`` from v to y."""
    kernel = np.random.default_rng(0).normal(size=(channels, 3, stride, stride)).astype(np.float32)
    weights: dict[str, Any] = {"kernel": kernel, "one": np.array([1], np.int64)}
    nodes = [node("Conv", "p kernel", "v", strides=[stride, stride])]
    nodes.insert(0, node("Transpose", "x", "p", perm=[0, 3, 1, 2]) if last else node("Identity", "x", "p"))
    nodes += ending or [node("Transpose", "v", "y", perm=[0, 2, 3, 1]) if last else node("Identity", "v", "y")]
    sizes = tuple(s if isinstance(s, str) else s // stride for s in side)
    given = shape or ((*sizes, channels) if last else (channels, *sizes))
    used = {k: v for k, v in weights.items() if any(k in n.input for n in nodes)}
    taken = ("batch", *side, 3) if last else ("batch", 3, *side)
    return models.build(nodes, [("x", models.FLOAT, taken)], [("y", element, ("batch", *given))], used,
                        opset=opset, metadata=metadata)  # fmt: skip


SOFTMAX = node("Softmax", "v", "y", axis=1)
SIGMOID = node("Sigmoid", "v", "y")
ARGMAX = node("ArgMax", "v", "y", axis=1, keepdims=0)
ARGMAX_KEPT = node("ArgMax", "v", "y", axis=1, keepdims=1)
ARGMAX_SMALL = [node("ArgMax", "v", "a", axis=1, keepdims=0), node("Cast", "a", "y", to=TensorProto.UINT8)]
NAMES = {"id2label": '{"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}'}
ANY = ("height", "width")
INT64 = TensorProto.INT64


class TestRecognition:
    @pytest.mark.parametrize(
        ("proto", "head", "classes", "certainty"),
        [
            pytest.param(network(), "logits", 5, LIKELY, id="logits"),
            pytest.param(network(side=ANY), "logits", 5, LIKELY, id="logits of any size"),
            pytest.param(network(last=True), "logits", 5, LIKELY, id="NHWC"),
            pytest.param(network(5, SOFTMAX), "probabilities", 5, CERTAIN, id="softmax"),
            pytest.param(network(3, SOFTMAX), "probabilities", 3, CERTAIN, id="softmax of three"),
            pytest.param(network(5, SIGMOID), "probabilities", 5, LIKELY, id="sigmoid of several"),
            pytest.param(network(1, SIGMOID), "probabilities", 2, LIKELY, id="one mask"),
            pytest.param(network(5, stride=4, metadata=NAMES), "logits", 5, CERTAIN, id="SegFormer with names"),
            pytest.param(network(5, SOFTMAX, stride=4), "probabilities", 5, CERTAIN, id="coarse with softmax"),
            pytest.param(
                network(1, metadata={"task": "semantic-segmentation"}), "logits", 2, CERTAIN, id="the metadata says so"
            ),
            pytest.param(
                network(5, ARGMAX, shape=SIDE, element=INT64), "classes", 5, CERTAIN, id="argmax"
            ),
            pytest.param(
                network(5, ARGMAX_KEPT, shape=(1, *SIDE), element=INT64), "classes", 5, CERTAIN, id="argmax, 1 channel"
            ),
            pytest.param(
                network(5, *ARGMAX_SMALL, shape=SIDE, element=models.BYTE), "classes", 5, CERTAIN, id="argmax as bytes"
            ),
        ],
    )  # fmt: skip
    def test_of_what_is_one(
        self, proto: onnx.ModelProto, head: str, classes: int, certainty: Certainty, tmp_path: Path
    ) -> None:
        found = contract.interpret(SPEC, described(proto, tmp_path))
        assert (found.task, found.head, found.class_count, found.certainty) == ("segment", head, classes, certainty)

    @pytest.mark.parametrize(
        "proto",
        [
            pytest.param(network(3), id="as many channels as the picture: another picture"),
            pytest.param(network(1), id="one channel without sigmoid: depths"),
            pytest.param(network(17, stride=4), id="coarse without names: heat maps"),
        ],
    )
    def test_a_guess_is_named_and_the_model_served_as_it_is(self, proto: onnx.ModelProto, tmp_path: Path) -> None:
        model = described(proto, tmp_path)
        found = contract.interpret(SPEC, model)
        assert (found.task, found.contract, found.certainty) == ("raw", "native", UNSURE)
        assert "--task segment takes one output [N, " in found.reason
        asked = contract.interpret(replace(SPEC, task="segment"), model)
        assert (asked.task, asked.head, asked.certainty) == ("segment", "logits", CERTAIN)

    @pytest.mark.parametrize(
        "proto",
        [
            pytest.param(network(512, stride=8, side=(16, 24), shape=(512, 2, 3)), id="a backbone's 1/8"),
            pytest.param(models.classifier(), id="a vector"),
            pytest.param(models.detector(), id="anchors"),
        ],
    )
    def test_of_what_is_none(self, proto: onnx.ModelProto, tmp_path: Path) -> None:
        assert contract.interpret(SPEC, described(proto, tmp_path)).task != "segment"

    def test_one_of_ultralytics_takes_pixels_from_0_to_1(self, tmp_path: Path) -> None:
        metadata = {"author": "Ultralytics", "task": "semantic"}
        found = contract.interpret(SPEC, described(network(5, metadata=metadata), tmp_path))
        assert (found.task, found.certainty, found.normalization) == ("segment", CERTAIN, Normalization())

    def test_of_other_proportions_is_refused_with_what_would_fit(self, tmp_path: Path) -> None:
        proto = network(5, node("GlobalAveragePool", "v", "y"), shape=(5, 1, 1))
        with pytest.raises(
            UnsupportedModelError, match=r"segment takes one output \[N, classes, H, W\], .* --task raw"
        ):
            contract.interpret(replace(SPEC, task="segment"), described(proto, tmp_path))


def served(proto: onnx.ModelProto, folder: Path, **spec: Any) -> Graphs:
    network = described(proto, folder)
    meaning = contract.interpret(replace(SPEC, task="segment", **spec), network)
    (folder / "served").mkdir()
    made = contract.fuse(network, meaning, folder / "served")
    return Graphs(original=network, reference=None, network=network, meaning=meaning, served=made)


class TestServed:
    @pytest.mark.parametrize("argmax", [False, True], ids=["scores", "argmax"])
    @pytest.mark.parametrize("opset", [13, 17, 21])
    @pytest.mark.parametrize(
        ("channels", "options"),
        [
            pytest.param(5, {}, id="logits"),
            pytest.param(5, {"last": True}, id="NHWC"),
            pytest.param(1, {}, id="one mask"),
            pytest.param(1, {"last": True}, id="one mask, NHWC"),
            pytest.param(5, {"side": ANY}, id="any size"),
            pytest.param(5, {"stride": 4}, id="coarse"),
        ],
    )
    def test_answers_as_numpy_does_in_any_company(
        self, channels: int, options: dict[str, Any], opset: int, argmax: bool, tmp_path: Path
    ) -> None:
        graphs = served(network(channels, opset=opset, **options), tmp_path, argmax=argmax)
        (output,) = graphs.served.signature.outputs
        stride, free = options.get("stride", 1), options.get("side") == ANY
        sizes = (-1, -1) if free else tuple(s // stride for s in SIDE)
        if argmax:
            assert (output.name, output.dtype, output.shape) == ("classes", DataType.UINT8, (-1, *sizes))
        else:
            assert (output.name, output.dtype, output.shape) == ("scores", DataType.FP32, (-1, channels, *sizes))
        found = compare.check_stages(graphs, Recipe(signature=graphs.served.signature, count=3).make(), (1, 2, 3))
        assert {d.output for p in found if p.stage == "contract" for d in p.differences} == {"network/y", output.name}

    @pytest.mark.parametrize("argmax", [False, True])
    @pytest.mark.parametrize("ending", [SOFTMAX, SIGMOID])
    @pytest.mark.parametrize("channels", [1, 4])
    def test_probabilities_are_kept_as_they_are(
        self, channels: int, ending: onnx.NodeProto, argmax: bool, tmp_path: Path
    ) -> None:
        graphs = served(network(channels, ending), tmp_path, argmax=argmax)
        frames = np.random.default_rng(2).integers(0, 256, (2, *SIDE, 3), dtype=np.uint8)
        got = compare.runner(graphs.served.path, ["network/y"])({"x": frames})
        if not argmax:
            np.testing.assert_array_equal(got["scores"], got["network/y"])
        elif channels == 1:
            np.testing.assert_array_equal(got["classes"], got["network/y"][:, 0] > 0.5)
        else:
            np.testing.assert_array_equal(got["classes"], got["network/y"].argmax(axis=1))

    @pytest.mark.parametrize(
        ("ending", "shape", "element"),
        [([ARGMAX], SIDE, INT64), ([ARGMAX_KEPT], (1, *SIDE), INT64), (ARGMAX_SMALL, SIDE, models.BYTE)],
        ids=["argmax", "kept", "bytes"],
    )
    @pytest.mark.parametrize("argmax", [False, True])
    def test_an_argmax_in_the_graph_is_served_as_bytes(
        self, ending: list[onnx.NodeProto], shape: tuple[int, ...], element: int, argmax: bool, tmp_path: Path
    ) -> None:
        graphs = served(network(5, *ending, shape=shape, element=element), tmp_path, argmax=argmax)
        (output,) = graphs.served.signature.outputs
        assert (output.name, output.dtype, output.shape) == ("classes", DataType.UINT8, (-1, *SIDE))
        compare.check_stages(graphs, Recipe(signature=graphs.served.signature, count=2).make(), (1, 2))

    @pytest.mark.parametrize(("channels", "dtype"), [(256, DataType.UINT8), (257, DataType.INT32)])
    def test_more_classes_than_a_byte_holds_are_int32(self, channels: int, dtype: DataType, tmp_path: Path) -> None:
        graphs = served(network(channels), tmp_path, argmax=True)
        assert graphs.served.signature.outputs[0].dtype is dtype

    def test_a_second_output_for_training_is_left_out_with_what_makes_it(self, tmp_path: Path) -> None:
        proto = network(5, node("Identity", "v", "y"), node("Conv", "x other", "aux"))
        other = np.random.default_rng(1).normal(size=(5, 3, 1, 1)).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(other, "other"))
        proto.graph.output.append(onnx.helper.make_tensor_value_info("aux", models.FLOAT, ("batch", 5, *SIDE)))
        graphs = served(proto, tmp_path)
        assert "aux left out" in graphs.meaning.reason
        assert [t.name for t in graphs.served.signature.outputs] == ["scores"]
        assert not [t.name for t in onnx.load(str(graphs.served.path)).graph.initializer if t.name.endswith("other")]
        compare.check_stages(graphs, Recipe(signature=graphs.served.signature, count=2).make(), (1, 2))

    def test_argmax_of_what_has_no_pixels_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--argmax gives the class of each pixel, .*leave it out"):
            contract.interpret(replace(SPEC, argmax=True), described(models.classifier(), tmp_path))


def model_of(shape: tuple[int, ...], opset: int) -> Model:
    tensor = Tensor(name="y", dtype=DataType.FP32, shape=shape)
    return Model(path=Path("none"), digest="", signature=Signature(inputs=(), outputs=(tensor,)), opset=opset,
                 ir_version=8)  # fmt: skip


def meaning_of(classes: int, head: str, *words: str) -> Interpretation:
    return Interpretation(
        task="segment", head=head, contract="served", class_count=classes, normalization=None, color="rgb",
        thresholds=None, reason="", layout=Layout(words=words),
    )  # fmt: skip


values = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)).flatmap(
    # Few values, so that there are ties.
    lambda shape: arrays.arrays(np.float32, shape, elements=st.one_of(st.sampled_from([0.0, 1.0, -2.0]),
                                                                      st.floats(-1e4, 1e4, width=32)))
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    value=values,
    opset=st.sampled_from([13, 18, 21]),
    words=st.lists(st.sampled_from(["nhwc", "argmax"]), unique=True),
    head=st.sampled_from(["logits", "probabilities"]),
)
def test_the_graph_does_what_numpy_does(value: Any, opset: int, words: list[str], head: str) -> None:
    channels = value.shape[3 if "nhwc" in words else 1]
    meaning = meaning_of(max(2, channels), head, *words)
    text = SEGMENT.head_graph(model_of((-1, *value.shape[1:]), opset), meaning)
    assert text is not None
    running = kit.graph.session(onnx.parser.parse_model(text).SerializeToString(), threads=1)
    (made,) = running.run(None, {"raw": value})
    (expected,) = SEGMENT.reference({"y": value}, meaning).values()
    assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
    if "argmax" in words:
        np.testing.assert_array_equal(made, expected)
        assert made.max() < max(2, channels)
    else:
        np.testing.assert_allclose(made, expected, atol=1e-5, rtol=1e-5)
        if head == "logits" and channels > 1:
            np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
