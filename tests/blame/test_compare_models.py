"""Whole comparisons of real models: equal ones, broken ones, quantised, served, of PyTorch; and what cannot be."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import graphs_of_text
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kit import blame
from kit.blame import inner
from kit.blame.instrument import Tapping
from kit.blame.taps import OnnxTaps
from kit.blame.values import Comparison
from kit.errors import ComparisonError, SourceNotFoundError
from kit.progress import Silent

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "examples" / "digits" / "digits.onnx")
SERVED = str(ROOT / "model_repository" / "digits")
IMAGES = ROOT / "examples" / "digits" / "calibration"


def compare(first: str, second: str, **options: object) -> Comparison:
    return blame.compare(first, second, blame.Options(**{"count": 2, **options}), Silent())  # type: ignore[arg-type]


@pytest.fixture
def model(tmp_path: Path) -> str:
    return graphs_of_text.written(graphs_of_text.branches(), tmp_path / "model.onnx")


def test_a_model_equals_itself(model: str) -> None:
    found = compare(model, model)
    assert found.equal
    assert found.first_diverging is found.culprit is None
    assert all(output.sqnr_db == 160 for output in found.outputs)
    assert [layer.name for layer in found.layers] == ["active", "deep", "sum", "a", "b", "right"]


@pytest.mark.parametrize("weight", ["stem.conv.weight", "body.0.weight", "head.right.bias"])
@pytest.mark.parametrize("renamed", [False, True])
def test_the_layer_that_was_broken_is_named_with_its_module(
    weight: str, renamed: bool, model: str, tmp_path: Path
) -> None:
    broken = graphs_of_text.changed(graphs_of_text.branches(), weight)
    broken = graphs_of_text.renamed(broken) if renamed else broken
    found = compare(model, graphs_of_text.written(broken, tmp_path / "broken.onnx"))
    assert not found.equal
    assert found.first_diverging == found.culprit is not None
    assert found.layers[found.culprit].module == weight.rpartition(".")[0]


def test_memory_is_bounded_by_taking_a_few_tensors_at_a_time(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = graphs_of_text.changed(graphs_of_text.branches(), "body.0.weight")
    other = graphs_of_text.written(broken, tmp_path / "b.onnx")
    whole = compare(model, other)
    monkeypatch.setattr(inner, "MOST_BYTES", 1)
    portions: list[int] = []
    tapping = OnnxTaps.tapping

    def counted(self: OnnxTaps, names: Sequence[str]) -> AbstractContextManager[Tapping]:
        portions.append(len(names))
        return tapping(self, names)

    monkeypatch.setattr(OnnxTaps, "tapping", counted)
    apart = compare(model, other)
    assert portions == [1] * (2 * len(whole.layers))
    assert [layer.name for layer in apart.layers] == [layer.name for layer in whole.layers]
    for one, another in zip(apart.layers, whole.layers, strict=True):
        assert one.sqnr_db == pytest.approx(another.sqnr_db, abs=0.01)  # what is fused depends on what is looked at


def test_a_network_and_what_is_served_of_it_are_compared_inside() -> None:
    found = compare(DIGITS, SERVED, images=IMAGES)
    assert found.equal
    assert [(output.output, output.other) for output in found.outputs] == [("output0", "network/output0")]
    assert len(found.layers) > 100
    assert found.unmatched == 0
    back = compare(SERVED, DIGITS, images=IMAGES)
    assert back.equal
    assert len(back.layers) == len(found.layers)


def test_pytorch_is_compared_with_its_export_by_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(ROOT)
    found = compare("examples.digits.network:detector", DIGITS, count=1)
    assert found.equal
    assert {layer.by for layer in found.layers} == {"module"}
    assert len(found.layers) == sum(node.op_type == "Conv" for node in onnx.load(DIGITS).graph.node)
    assert all(layer.sqnr_db > 80 for layer in found.layers)


def test_rows_of_a_detector_are_matched_before_they_are_compared(tmp_path: Path) -> None:
    model = onnx.load(str(Path(SERVED) / "1" / "model.onnx"))
    for tensor in model.graph.initializer:
        if tensor.name == "network/head.class_branch.1.bias":
            values = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(values + np.float32(0.01), tensor.name))
    other = graphs_of_text.written(model, tmp_path / "shifted.onnx")
    found = compare(SERVED, other, images=IMAGES, count=4, tolerance=0.02)
    assert found.rows is not None
    assert found.rows.matched == found.rows.first == found.rows.second > 0
    assert 0 < found.rows.largest_score_change < 0.01
    assert found.equal
    assert not any(layer.diverges for layer in found.layers if layer.decided)
    assert not compare(SERVED, other, images=IMAGES, count=4, tolerance=1e-4, layers=False).equal


def test_half_precision_is_allowed_its_roundings_and_told(model: str, tmp_path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = convert_float_to_float16(graphs_of_text.branches(), keep_io_types=False)
    found = compare(model, graphs_of_text.written(half, tmp_path / "half.onnx"))
    assert found.equal
    assert found.tolerance == 5e-3
    assert found.outputs[0].types == ("float32", "float16")
    assert any("float16 in the second" in note for note in found.notes)
    assert 40 < min(layer.sqnr_db for layer in found.layers) < 100


def test_a_quantised_model_is_matched_through_its_pairs(model: str, tmp_path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            chance = np.random.default_rng(0)
            self._left = iter([{"images": chance.random((1, 3, 8, 8), np.float32)} for _ in range(4)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    # Operators on integers pass integers on: only what is made real again can be compared.
    shown = {"QDQ": {"active", "deep", "sum", "a", "b", "right"}, "QOperator": {"active", "a", "right"}}
    for form in (QuantFormat.QDQ, QuantFormat.QOperator):
        path = tmp_path / f"{form.name}.onnx"
        quantize_static(model, str(path), Reader(), quant_format=form, per_channel=True)
        found = compare(model, str(path))
        assert found.second.precision == "int8"
        assert {layer.name for layer in found.layers} >= shown[form.name]
        assert all(15 < layer.sqnr_db < 60 for layer in found.layers)
        assert found.first_diverging is None


def test_nan_is_found_at_the_layer_where_it_arises(model: str, tmp_path: Path) -> None:
    broken = graphs_of_text.changed(graphs_of_text.branches(), "body.0.weight", float("nan"))
    found = compare(model, graphs_of_text.written(broken, tmp_path / "nan.onnx"))
    assert not found.equal
    assert found.culprit is not None
    assert (found.layers[found.culprit].module, found.layers[found.culprit].nan) == ("body.0", 2 * 4 * 8 * 8)
    assert found.outputs[0].nan > 0


def fixed(batch: int, path: Path) -> str:
    model = graphs_of_text.branches()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return graphs_of_text.written(model, path)


def test_batches_that_are_fixed_are_asked_in_parts(model: str, tmp_path: Path) -> None:
    four, one = fixed(4, tmp_path / "four.onnx"), fixed(1, tmp_path / "one.onnx")
    found = compare(model, four)
    assert (found.equal, found.batch, len(found.layers)) == (True, 4, 6)
    found = compare(four, one)
    assert (found.equal, found.batch, len(found.layers)) == (True, 4, 0)
    assert any("fixed batch of 1" in note for note in found.notes)


class TestWhatCannotBeCompared:
    def test_other_inputs(self, model: str) -> None:
        with pytest.raises(ComparisonError, match="different inputs: images"):
            compare(model, DIGITS)

    def test_another_network_inside(self, model: str, tmp_path: Path) -> None:
        with pytest.raises(ComparisonError, match="has none of left"):
            compare(model, SERVED)

    def test_other_outputs(self, model: str, tmp_path: Path) -> None:
        other = graphs_of_text.branches()
        del other.graph.output[1]
        other.graph.output[0].name = "a"
        other.graph.node.remove(next(node for node in other.graph.node if node.output[0] == "left"))
        with pytest.raises(ComparisonError, match="different outputs"):
            compare(model, graphs_of_text.written(other, tmp_path / "other.onnx"))

    def test_outputs_of_another_size(self, tmp_path: Path) -> None:
        def rows(count: int) -> str:
            node = helper.make_node("Slice", ["x", "start", "stop", "axis"], ["y"])
            graph = helper.make_graph(
                [node], "slice", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 9])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])],
                [numpy_helper.from_array(np.array([value]), name)
                 for name, value in (("start", 0), ("stop", count), ("axis", 1))],
            )  # fmt: skip
            made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
            return graphs_of_text.written(made, tmp_path / f"{count}.onnx")

        with pytest.raises(ComparisonError, match=r"output y is \[1, 3\] in the first and \[1, 4\] in the second"):
            compare(rows(3), rows(4))

    @pytest.mark.parametrize("wrong", ["nowhere.onnx", "no/such/thing"])
    def test_what_is_not_there(self, wrong: str, model: str) -> None:
        with pytest.raises((ComparisonError, SourceNotFoundError), match="is not there"):
            compare(model, wrong)

    def test_a_repository_of_several_models(self, model: str, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "config.pbtxt").write_text(f'name: "{name}"')
        with pytest.raises(ComparisonError, match=r"holds 2 models; choose one: .*/a, .*/b"):
            compare(model, str(tmp_path))
        with pytest.raises(SourceNotFoundError, match="has no version"):
            compare(model, str(tmp_path / "a"))


def test_a_metric_is_measured_of_both_on_a_set(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in sorted(IMAGES.glob("*.jpg"))[:6]:
        (pictures / path.name).symlink_to(path)
    found = compare(SERVED, DIGITS, images=IMAGES, layers=False, validation=pictures)
    assert found.metric is not None
    assert found.metric.images == 6
    assert found.metric.name.startswith("agreement")
    assert (found.metric.first, found.metric.second) == (pytest.approx(1.0), pytest.approx(1.0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of PyTorch, saved as a program, as TorchScript and as ONNX."""
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("saved")
    layers = [torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1)]
    network = torch.nn.Sequential(*layers)
    torch.manual_seed(0)
    for _ in range(3):
        network(torch.randn(8, 3, 16, 16))  # gives the normalisation a mean and a variance
    network.eval()
    example = torch.rand(2, 3, 16, 16)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, str(folder / "net.pt2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.trace(network, example), str(folder / "net.ts"))
        names = {"input_names": ["images"], "output_names": ["output0"], "dynamic_axes": {"images": {0: "n"}}}
        torch.onnx.export(network, (example,), str(folder / "net.onnx"), dynamo=False, **names)
    return folder


def test_a_program_shows_its_modules_as_they_were_before_it_was_exported(saved: Path) -> None:
    found = compare(str(saved / "net.pt2"), str(saved / "net.onnx"))
    assert found.equal
    assert [layer.module for layer in found.layers] == ["0", "3"]
    assert all(layer.sqnr_db > 100 for layer in found.layers)


def test_torchscript_is_compared_by_its_outputs(saved: Path) -> None:
    found = compare(f"{saved / 'net.ts'}?shape=3x16x16", str(saved / "net.onnx"))
    assert (found.equal, found.layers) == (True, ())
    assert any("shows no layers (torch)" in note for note in found.notes)
