"""The served contract: what the fused graph answers to frames, against plain numpy and the network alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto
from PIL import Image

import kit.graph
from kit import compare, contract, inputs, simplify
from kit.errors import UnsupportedModelError
from kit.types import DataType, Interpretation, Model, Normalization, Spec

SPEC = Spec(source="m.onnx", name="m", targets=("x86-cpu",))
Make = Callable[[onnx.ModelProto], Model]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return what the source and the simplifier make of a model."""

    def run(proto: onnx.ModelProto) -> Model:
        path = models.save(proto, tmp_path / "source" / "model.onnx")
        read = kit.graph.read(path)
        kit.graph.strip(read)
        (tmp_path / "simple").mkdir(exist_ok=True)
        return simplify.simplify(kit.graph.describe(path, kit.graph.write(read, path)), tmp_path / "simple")

    return run


@pytest.fixture
def fused(make: Make, tmp_path: Path) -> Callable[..., tuple[Model, Interpretation, Model]]:
    def run(proto: onnx.ModelProto, **spec: Any) -> tuple[Model, Interpretation, Model]:
        network = make(proto)
        meaning = contract.interpret(replace(SPEC, **spec), network)
        folder = tmp_path / "fused"
        folder.mkdir(exist_ok=True)
        return network, meaning, contract.fuse(network, meaning, folder)

    return run


def pictures(model: Model, count: int = 3) -> np.ndarray[Any, Any]:
    _, height, width, channels = model.signature.inputs[0].shape
    return np.random.default_rng(1).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


MEANS = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class TestFrames:
    """Normalisation, layout, colour order and element type, computed here in float64 and asked of the graph."""

    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("element", [models.FLOAT, models.HALF], ids=["FP32", "FP16"])
    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    @pytest.mark.parametrize("normal", [None, Normalization(), MEANS], ids=["default", "only scale", "mean and std"])
    def test_become_what_the_network_was_trained_on(
        self, fused: Any, layout: str, channels: int, element: int, color: str, normal: Normalization | None
    ) -> None:
        if channels == 1 and normal is MEANS:
            normal = Normalization(mean=(0.5,), std=(0.25,))
        proto = models.classifier(layout=layout, channels=channels, element=element)
        network, meaning, served = fused(proto, color=color, normalization=normal)
        assert served.signature.inputs[0].dtype is DataType.UINT8
        assert served.signature.inputs[0].shape == (-1, 8, 10, channels)
        assert served.signature.inputs[0].name == network.signature.inputs[0].name
        frames = pictures(served)

        default = MEANS if channels == 3 else Normalization(mean=(0.0,), std=(1.0,))
        chosen = normal or default
        assert meaning.normalization == chosen
        wide = frames[..., ::-1] if color == "bgr" and channels == 3 else frames
        mean, std = (np.array(v[:channels]) for v in (chosen.mean, chosen.std))
        wide = (wide.astype(np.float64) / 255 - mean) / std
        native = wide if layout == "NHWC" else wide.transpose(0, 3, 1, 2)
        given = np.ascontiguousarray(native, np.float16 if element == models.HALF else np.float32)

        scores = compare.runner(network.path)({"x": given})["scores"]
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        expected = powers / powers.sum(axis=1, keepdims=True)
        (answer,) = compare.runner(served.path)({"x": frames}).values()
        np.testing.assert_allclose(answer, expected, atol=2e-3 if element == models.HALF else 1e-5)

    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    def test_go_as_they_are_to_a_model_that_takes_frames(self, fused: Any, color: str) -> None:
        network, meaning, served = fused(models.classifier(element=models.BYTE, layout="NHWC"), color=color)
        assert meaning.normalization is None
        frames = pictures(served)
        given = frames if color == "rgb" else np.ascontiguousarray(frames[..., ::-1])
        assert np.array_equal(
            compare.runner(served.path, ["network/scores"])({"x": frames})["network/scores"],
            compare.runner(network.path)({"x": given})["scores"],
        )
        np.testing.assert_array_equal(inputs.to_native({"x": frames}, network.signature, meaning)["x"], given)

    def test_of_any_size_are_taken_by_a_model_of_any_size(self, fused: Any) -> None:
        proto = models.build(
            [models.node("GlobalAveragePool", "x", "m"), models.node("Flatten", "m", "y")],
            [("x", models.FLOAT, ("n", 3, "h", "w"))],
            [("y", models.FLOAT, ("n", 3))],
        )
        _, _, served = fused(proto)
        assert served.signature.inputs[0].shape == (-1, -1, -1, 3)
        run = compare.runner(served.path)
        for size in ((4, 6), (9, 3)):
            assert run({"x": np.zeros((2, *size, 3), np.uint8)})["probabilities"].shape == (2, 3)

    def test_means_for_other_channels_are_refused(self, fused: Any) -> None:
        with pytest.raises(UnsupportedModelError, match="mean and std have 3 values, the model's input has 1 channels"):
            fused(models.classifier(channels=1), normalization=MEANS)


class TestMeaning:
    @pytest.mark.parametrize(
        ("proto", "task", "takes"),
        [
            (models.detector(), "detect", "UINT8"),
            (models.classifier(), "classify", "UINT8"),
            (models.classifier(2, softmax=True), "classify", "UINT8"),
            (models.scale(), "raw", "FP32"),
            (models.two_inputs(), "raw", "FP32"),
            (models.text_model(), "raw", "BYTES"),
            (models.classifier(classes=1), "raw", "FP32"),
        ],
        ids=["detector", "classifier", "softmax", "scale", "two inputs", "text", "one class"],
    )
    def test_is_recognised(self, fused: Any, proto: onnx.ModelProto, task: str, takes: str) -> None:
        _, meaning, served = fused(proto)
        assert meaning.task == task
        assert served.signature.inputs[0].dtype.value == takes

    def test_of_probabilities_is_left_alone(self, fused: Any) -> None:
        _, meaning, served = fused(models.classifier(4, softmax=True))
        assert meaning.head == "probabilities"
        kinds = [n.op_type for n in onnx.load(str(served.path)).graph.node]
        assert kinds.count("Softmax") == 1
        answer = compare.runner(served.path)({"x": pictures(served)})["probabilities"]
        np.testing.assert_allclose(answer.sum(axis=1), 1, rtol=1e-5)

    @pytest.mark.parametrize("size", [1, 4])
    @pytest.mark.parametrize("proto", [models.detector, models.classifier])
    def test_a_fixed_batch_stays_fixed(self, fused: Any, proto: Any, size: int) -> None:
        _, _, served = fused(proto(batch=size))
        assert {t.shape[0] for t in (*served.signature.inputs, *served.signature.outputs)} == {size}
        assert not served.signature.batched

    @pytest.mark.parametrize("contract_name", ["native"])
    def test_native_is_the_model_itself(self, fused: Any, contract_name: str) -> None:
        network, meaning, served = fused(models.detector(), contract=contract_name)
        assert (served.digest, served.signature) == (network.digest, network.signature)
        assert meaning.thresholds is None

    def test_a_task_that_needs_a_picture_says_so(self, fused: Any) -> None:
        vector = models.scale(width=3)
        with pytest.raises(UnsupportedModelError, match=r"classify needs one image input .* takes x FP32\[-1, 3\]"):
            fused(vector, task="classify")


class TestOperators:
    @pytest.mark.parametrize("opset", [11, 12, 13, 16, 17, 18, 20, 21])
    @pytest.mark.parametrize("proto", [models.detector, models.classifier])
    def test_of_every_age_are_fused(self, fused: Any, proto: Any, opset: int) -> None:
        network, meaning, served = fused(proto(opset=opset))
        assert meaning.contract == "served"
        assert served.opset == (opset if opset >= 13 else 18)
        recipe = inputs.Recipe(signature=served.signature, count=4)
        frames = recipe.make()
        from kit.types import Graphs

        graphs = Graphs(original=network, reference=None, network=network, meaning=meaning, served=served)
        found = compare.check_stages(graphs, frames, (1, 2, 4))
        assert [p.stage for p in found] == ["simplify", "contract"]

    def test_weights_that_are_inputs_as_well_are_none_of_the_users(self, fused: Any) -> None:
        """As ONNX had it before IR 4."""
        proto = models.classifier()
        proto.ir_version = 3
        for weight in proto.graph.initializer:
            value = onnx.helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims))
            proto.graph.input.append(value)
        _, _, served = fused(proto)
        assert [t.name for t in served.signature.inputs] == ["x"]

    @pytest.mark.parametrize("name", ["frame", "x y", "a/b:0", "network/x", 'quo"te', "ünï"])
    def test_names_of_tensors_are_kept_whatever_they_are(self, fused: Any, name: str) -> None:
        proto = models.classifier()
        proto.graph.input[0].name = name
        for node in proto.graph.node:
            node.input[:] = [name if i == "x" else i for i in node.input]
        _, _, served = fused(proto)
        assert [t.name for t in served.signature.inputs] == [name]
        assert compare.runner(served.path)({name: pictures(served)})["probabilities"].shape == (3, 3)

    @pytest.mark.parametrize("name", ["frames/pixels", "probabilities"])
    def test_inputs_named_as_ours_are_refused_in_a_line(self, fused: Any, name: str) -> None:
        proto = models.classifier()
        proto.graph.input[0].name = name
        proto.graph.node[0].input[0] = name
        with pytest.raises(UnsupportedModelError, match=r"--contract native$"):
            fused(proto)

    @pytest.mark.parametrize("name", ["probabilities", "x", "boxes"])
    def test_outputs_named_as_ours_do_not_collide(self, fused: Any, name: str) -> None:
        proto = models.classifier()
        if name != "x":
            proto.graph.output[0].name = name
            proto.graph.node[-1].output[0] = name
        _, _, served = fused(proto)
        assert [t.name for t in served.signature.outputs] == ["probabilities"]


def test_no_path_and_no_date_stays_in_the_graph(fused: Any) -> None:
    proto = models.classifier(
        metadata={"date": "2024-01-01", "where": "/home/me/runs/exp", "names": "['a']", "stride": "32"}
    )
    proto.doc_string = "made by /home/me/train.py"
    proto.producer_name = "pytorch"
    for node in proto.graph.node:
        node.doc_string = "/home/me/net.py(12): forward"
        node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File /home/me/net.py")
    _, _, served = fused(proto)
    data = served.path.read_bytes()
    assert b"/home" not in data
    assert b"2024" not in data
    assert served.metadata == {"names": "['a']", "stride": "32"}


class TestImages:
    def test_are_letterboxed(self, tmp_path: Path) -> None:
        Image.fromarray(np.full((10, 20, 3), (255, 0, 0), np.uint8)).save(tmp_path / "wide.png")
        made = inputs.read_image(tmp_path / "wide.png", (40, 40), 3)
        assert made.shape == (40, 40, 3)
        assert (made[10:30] == (255, 0, 0)).all()
        assert (made[:10] == 114).all()
        assert (made[30:] == 114).all()

    @pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16", "LA"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_of_every_mode_become_frames(self, tmp_path: Path, mode: str, channels: int) -> None:
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.new(mode, (6, 4)).save(tmp_path / f"x.{suffix}")
        made = inputs.read_image(tmp_path / f"x.{suffix}", (8, 8), channels)
        assert (made.shape, made.dtype) == ((8, 8, channels), np.uint8)

    def test_fill_a_fixed_batch(self, tmp_path: Path, fused: Any) -> None:
        for index in range(3):
            Image.fromarray(np.full((8, 10, 3), index * 50, np.uint8)).save(tmp_path / f"{index}.png")
        _, _, served = fused(models.classifier(batch=5))
        recipe = inputs.Recipe(signature=served.signature, count=1, images=inputs.images_in(tmp_path))
        frames = recipe.make()
        assert frames.description == "images"
        assert frames.batch(1)["x"].shape == (5, 8, 10, 3)
        assert compare.runner(served.path)(frames.batch(1))["probabilities"].shape == (5, 3)

    def test_change_the_digest_of_what_is_compared(self, tmp_path: Path, fused: Any) -> None:
        _, _, served = fused(models.classifier())
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        first = inputs.Recipe(signature=served.signature, count=2, images=inputs.images_in(tmp_path)).digest()
        Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
        assert inputs.Recipe(signature=served.signature, count=2, images=inputs.images_in(tmp_path)).digest() != first


@pytest.mark.parametrize("dtype", sorted(set(DataType) - {DataType.BF16}, key=lambda d: d.value))
@pytest.mark.parametrize("shape", [(), (5,), (-1,), (-1, 3), (2, -1), (-1, -1, -1, 3)])
def test_random_inputs_fit_their_tensor_and_are_the_same_each_time(dtype: DataType, shape: tuple[int, ...]) -> None:
    from kit.types import Tensor

    tensor = Tensor(name="t", dtype=dtype, shape=shape)
    first, second = inputs.random(tensor, 4), inputs.random(tensor, 4)
    np.testing.assert_array_equal(first, second)
    assert np.shape(first) == tuple(
        (4 if i == 0 else max(s, np.shape(first)[i])) if s == -1 else s for i, s in enumerate(shape)
    )
    if shape:
        assert first.dtype == (object if dtype is DataType.BYTES else np.dtype(dtype.numpy_name))


class TestRaw:
    """Models that no task knows go through as they are, whatever their tensors."""

    @pytest.mark.parametrize(
        "proto",
        [
            pytest.param(models.two_inputs(), id="two inputs, one number per element"),
            pytest.param(models.text_model(), id="text"),
            pytest.param(models.scale(batch=3), id="fixed batch"),
            pytest.param(
                models.build([models.node("Mul", "x x", "y")], [("x", models.FLOAT, ())], [("y", models.FLOAT, ())]),
                id="scalar",
            ),
            pytest.param(
                models.build(
                    [models.node("MatMul", "x w", "y")],
                    [("x", models.FLOAT, ("n", 4)), ("w", models.FLOAT, (4, 3))],
                    [("y", models.FLOAT, ("n", 3))],
                ),
                id="one input without batch",
            ),
            pytest.param(
                models.build(
                    [models.node("Not", "x", "y")],
                    [("x", TensorProto.BOOL, ("n", 2))],
                    [("y", TensorProto.BOOL, ("n", 2))],
                ),
                id="booleans",
            ),
            pytest.param(
                models.build(
                    [models.node("Log", "z", "l"), models.node("Add", "x l", "y")],
                    [("x", models.FLOAT, ("n", 3))],
                    [("y", models.FLOAT, ("n", 3))],
                    {"z": np.array([0, 1, 2], np.float32)},
                ),
                id="minus infinity",
            ),
            pytest.param(
                models.build(
                    [models.node("Identity", "x", "y")],
                    [("x", TensorProto.DOUBLE, ("n", 1, 1, 1))],
                    [("y", TensorProto.DOUBLE, ("n", 1, 1, 1))],
                ),
                id="FP64 picture",
            ),
        ],
    )
    def test_pass_every_comparison(self, fused: Any, proto: onnx.ModelProto) -> None:
        from kit.types import Graphs

        network, meaning, served = fused(proto)
        assert meaning.contract == "native"
        sizes = inputs.batch_sizes(served.signature, 4)
        samples = inputs.Recipe(signature=served.signature, count=4).make()
        graphs = Graphs(original=network, reference=None, network=network, meaning=meaning, served=served)
        (parity,) = compare.check_stages(graphs, samples, sizes)
        assert {d.output for d in parity.differences} == {t.name for t in served.signature.outputs}
        assert all(d.maximum == 0 for d in parity.differences)
