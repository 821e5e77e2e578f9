"""kit generate in a lower precision, from end to end: judged, timed, served by a real Triton, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import kit.cli

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
JUDGED, CALIBRATED = 32, 32


def part_of_the_test_set(folder: Path, count: int) -> Path:
    """Copy the first pictures of the example's test set, with what is marked in them."""
    marked = json.loads((DIGITS / "test" / "annotations.json").read_text())
    images = marked["images"][:count]
    kept = {image["id"] for image in images}
    (folder / "images").mkdir(parents=True)
    for image in images:
        shutil.copy(DIGITS / "test" / "images" / image["file_name"], folder / "images")
    objects = [one for one in marked["annotations"] if one["image_id"] in kept]
    (folder / "annotations.json").write_text(json.dumps({**marked, "images": images, "annotations": objects}))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_of_the_test_set(tmp_path_factory.mktemp("judged") / "test", JUDGED)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in a folder for each of three classes: mostly red, green or blue."""
    folder, generator = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for index, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for number in range(20):
            pixels = generator.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[..., index] += generator.integers(60, 130, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def small_classifier(path: Path) -> Path:
    """Write a network so small that Q/DQ takes more bytes than it saves."""
    learned = np.random.default_rng(1)  # plain ones and zeros would be taken for arithmetic
    first, second, last = (learned.normal(0, 0.02, shape) for shape in ((24, 3, 1, 1), (24, 24, 1, 1), (24, 3)))
    for index in range(24):
        first[index, index % 3] += 2
        second[index, index] += 1
        last[index, index % 3] += 1
    weights = {"first.weight": first, "second.weight": second, "last.weight": last}
    nodes = [
        onnx.helper.make_node("Conv", ["images", "first.weight"], ["seen"]),
        onnx.helper.make_node("Relu", ["seen"], ["some"]),
        onnx.helper.make_node("Conv", ["some", "second.weight"], ["more"]),
        onnx.helper.make_node("Relu", ["more"], ["felt"]),
        onnx.helper.make_node("GlobalAveragePool", ["felt"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        onnx.helper.make_node("MatMul", ["flat", "last.weight"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "colours",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    model.metadata_props.add(key="names", value="{0: 'red', 1: 'green', 2: 'blue'}")
    onnx.save(model, str(path))
    return path


def generate(*arguments: str) -> int:
    return kit.cli.run(["generate", *arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_int8_is_judged_timed_served_and_told(here: Path, pictures: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["--precision", "int8", "--calibration", str(DIGITS / "calibration"), "--calibration-count",
             str(CALIBRATED), "--validation", str(pictures), "--max-drop", "5", "--max-class-drop", "30"]  # fmt: skip
    targets = ["--target", "x86-cpu", "--target", "t4"]
    assert generate(str(DIGITS / "digits.onnx"), *asked, *targets, "--json") == 0
    told = json.loads(capfd.readouterr().out)
    for name in ("x86-cpu", "t4"):
        record = told["manifest"]["targets"][name]
        assert record["precision"] == "int8"
        assert record["accuracy"]["metric"] == "mAP50-95"
        assert record["accuracy"]["images"] == JUDGED
        assert record["accuracy"]["before"] > 0.7
        assert abs(record["accuracy"]["after"] - record["accuracy"]["before"]) < 0.05
    assert told["manifest"]["targets"]["x86-cpu"]["verification"]["level"] == "live"
    assert told["manifest"]["targets"]["t4"]["verification"]["level"] == "weights"

    model = here / "model_repository" / "digits"
    files = {path.name: path.stat().st_size for path in (model / "1").iterdir()}
    assert set(files) == {"model.x86-cpu.onnx", "model.t4.onnx"}  # unsigned for one, signed for the other
    assert all(size < 0.4 * (DIGITS / "digits.onnx").stat().st_size for size in files.values())
    for name in ("x86-cpu", "t4"):
        assert f'default_model_filename: "model.{name}.onnx"' in (model / "configs" / f"{name}.pbtxt").read_text()
    timed = told["quality"]["targets"]
    assert [bool(target["trials"][0]["timings"]) for target in timed] == [True, False]
    assert (here / "model_repository.digits.quality.html").stat().st_size > 50_000

    assert generate(str(DIGITS / "digits.onnx"), *asked, *targets) == 0
    again = capfd.readouterr().err
    assert "unchanged" in again


def test_what_is_not_worth_it_is_refused_and_nothing_is_published(
    here: Path, colours: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = small_classifier(here / "colours.onnx")
    judged = ["--task", "classify", "--calibration", str(colours), "--no-verify"]
    assert generate(str(model), *judged, "--precision", "int8") == 34
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("kit: int8 is refused for x86-cpu: ")
    assert "of the size" in error
    assert "--precision auto" in error
    assert not (here / "model_repository" / "colours").exists()
    page = here / "model_repository.colours.quality.html"
    assert str(page) in error
    assert "refused" in page.read_text(encoding="utf-8")


def test_auto_falls_back_to_what_holds_and_says_why(
    here: Path, colours: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = small_classifier(here / "colours.onnx")
    judged = ["--task", "classify", "--calibration", str(colours), "--no-verify"]
    assert generate(str(model), *judged, "--precision", "auto") == 0
    err = capfd.readouterr().err
    assert "REFUSED" in err
    record = json.loads((here / "model_repository" / "colours" / "manifest.json").read_text())["targets"]["x86-cpu"]
    assert record["precision"] == "fp32"
    assert record["accuracy"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--precision", "int8"], 2, "takes its ranges from real pictures: give --calibration"),
        (["--precision", "auto", "--validation", "."], 2, "takes its ranges from real pictures"),
        (["--precision", "fp16"], 2, "is judged on real pictures: give --validation"),
        (["--precision", "fp16", "--validation", ".", "--contract", "native"], 2, "leave one of the two out"),
        (["--precision", "int8", "--calibration", "nowhere"], 26, "nowhere cannot be read"),
        (["--metric", "no.such:thing"], 28, "metric no.such:thing: no module no here"),
        (["--runtime", "openvin"], 2, 'did you mean "openvino"?'),
    ],
)
def test_mistakes_are_told_before_any_work(
    here: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert generate(str(DIGITS / "digits.onnx"), *arguments) == code
    err = capfd.readouterr().err
    assert told in err
    assert not (here / "model_repository").exists()
