"""What a graph rounds to inside decides how equal answers must be; quantised and FP16 networks pass every stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto

import kit.cli
import kit.graph
from kit import compare, dialect
from kit.compare import TOLERANCE


def convolutions(classes: int = 10) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    nodes = [
        models.node("Conv", "x w", "c"), models.node("Relu", "c", "r"), models.node("Conv", "r v", "d"),
        models.node("GlobalAveragePool", "d", "g"), models.node("Flatten", "g", "f"), models.node("MatMul", "f m", "y"),
    ]  # fmt: skip
    weights = {"w": generator.normal(size=(8, 3, 3, 3)), "v": generator.normal(size=(8, 8, 3, 3)),
               "m": generator.normal(size=(8, classes))}  # fmt: skip
    return models.build(
        nodes, [("x", models.FLOAT, ("batch", 3, 16, 16))], [("y", models.FLOAT, ("batch", classes))],
        {name: value.astype(np.float32) for name, value in weights.items()},
    )  # fmt: skip


class Reader:
    """Three random pictures to calibrate on."""

    def __init__(self) -> None:
        generator = np.random.default_rng(1)
        self._left = iter([{"x": generator.random((1, 3, 16, 16), np.float32)} for _ in range(3)])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)


def quantised(style: str, folder: Path) -> onnx.ModelProto:
    from onnxruntime import quantization

    given, made = folder / "given.onnx", folder / "made.onnx"
    models.save(convolutions(), given)
    if style == "dynamic":
        quantization.quantize_dynamic(str(given), str(made))
    else:
        form = quantization.QuantFormat[style]
        reader = type("Calibration", (Reader, quantization.CalibrationDataReader), {})()
        quantization.quantize_static(str(given), str(made), reader, quant_format=form)
    return onnx.load(str(made))


def half_inside() -> onnx.ModelProto:
    """FP32 in and out, FP16 between: what converters write with ``keep_io_types``."""
    generator = np.random.default_rng(2)
    nodes = [
        models.node("Cast", "x", "h", to=TensorProto.FLOAT16), models.node("MatMul", "h w", "m"),
        models.node("Cast", "m", "y", to=TensorProto.FLOAT),
    ]  # fmt: skip
    return models.build(nodes, [("x", models.FLOAT, ("n", 16))], [("y", models.FLOAT, ("n", 8))],
                        {"w": generator.normal(size=(16, 8)).astype(np.float16)})  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("style", ["QDQ", "QOperator", "dynamic"])
def test_quantised_networks_are_served_as_they_are(style: str, here: Path) -> None:
    models.save(quantised(style, here), here / "model.onnx")
    assert dialect.rounding(here / "model.onnx") == "int8"
    assert kit.cli.run(["generate", "model.onnx", "--task", "raw", "--no-verify", "--quiet"]) == 0
    served = onnx.load(str(here / "model_repository" / "model" / "1" / "model.onnx"))
    assert any("Quantize" in node.op_type for node in served.graph.node)
    stored = {t.data_type for t in served.graph.initializer if len(t.dims) > 1}
    assert stored <= {TensorProto.INT8, TensorProto.UINT8}  # nothing was unpacked


@pytest.mark.parametrize(
    ("make", "rounding"),
    [(convolutions, "fp32"), (half_inside, "fp16"), (lambda: models.classifier(element=models.HALF), "fp16")],
)
def test_rounding_is_read_from_the_inside(make: Callable[[], onnx.ModelProto], rounding: str, tmp_path: Path) -> None:
    assert dialect.rounding(models.save(make(), tmp_path / "m.onnx")) == rounding


def test_the_tolerance_follows_the_inside(tmp_path: Path) -> None:
    found = [compare.tolerance_of(models.save(m, tmp_path / "m.onnx")) for m in (convolutions(), half_inside())]
    assert found[0] == TOLERANCE < found[1] < 0.01


def test_fp16_inside_passes_every_stage(here: Path) -> None:
    models.save(half_inside(), here / "model.onnx")
    assert kit.cli.run(["generate", "model.onnx", "--task", "raw", "--no-verify", "--quiet"]) == 0


class TestFreeSizes:
    def test_are_compared_at_two(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        graph = models.build(
            [models.node("Relu", "x", "r"), models.node("MaxPool", "r", "y", kernel_shape=[2, 2], strides=[2, 2])],
            [("x", models.FLOAT, ("batch", 3, "height", "width"))], [("y", models.FLOAT, ("batch", 3, "h", "w"))],
        )  # fmt: skip
        models.save(graph, here / "model.onnx")
        seen: list[tuple[int, ...]] = []
        run = compare.runner

        def watched(path: Path, *rest: Any) -> compare.Runner:
            inner = run(path, *rest)

            def answer(feeds: compare.Arrays) -> compare.Arrays:
                seen.append(feeds["x"].shape)
                return inner(feeds)

            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compare, "runner", watched)
            assert kit.cli.run(["generate", "model.onnx", "--task", "raw", "--no-verify", "--quiet"]) == 0
        assert {shape[2:] for shape in seen} == {(320, 320), (256, 384)}
        assert capfd.readouterr() == ("", "")

    def test_that_are_none_are_told(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Free by its declaration; a constant inside fits one size."""
        graph = models.build(
            [models.node("Reshape", "x all", "f"), models.node("MatMul", "f w", "y")],
            [("x", models.FLOAT, ("batch", 1, "height", "width"))], [("y", models.FLOAT, ("batch", 2))],
            {"all": np.array([0, -1], np.int64), "w": np.ones((320 * 320, 2), np.float32)},
        )  # fmt: skip
        models.save(graph, here / "model.onnx")
        assert kit.cli.run(["generate", "model.onnx", "--task", "raw", "--no-verify"]) == 0
        said = " ".join("".join(capfd.readouterr()).split())
        assert "the size of its pictures is called free, and it does not take 256x384: export it with one size" in said
