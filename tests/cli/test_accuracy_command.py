"""kit accuracy as a person meets it: a table, a document, and a line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import kit.cli
from kit import evaluation
from kit.types import DataType, Signature, Tensor

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
MODEL = str(DIGITS / "digits.onnx")
PUBLISHED = str(ROOT / "model_repository" / "digits" / "1" / "model.onnx")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first twenty pictures of the example's test set."""
    folder = tmp_path_factory.mktemp("few")
    content = json.loads((DIGITS / "test" / "annotations.json").read_text())
    images = content["images"][:20]
    known = {image["id"] for image in images}
    content |= {"images": images, "annotations": [a for a in content["annotations"] if a["image_id"] in known]}
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "images").mkdir()
    for image in images:
        (folder / "images" / image["file_name"]).symlink_to(DIGITS / "test" / "images" / image["file_name"])
    return folder


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The published model with every box two pixels to the right."""
    proto = onnx.load(PUBLISHED)
    (node,) = [n for n in proto.graph.node if n.output[0] == "boxes"]
    node.output[0] = "boxes where they are"
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2, 0, 2, 0], np.float32), "to the right"))
    proto.graph.node.append(onnx.helper.make_node("Add", ["boxes where they are", "to the right"], ["boxes"]))
    path = tmp_path_factory.mktemp("worse") / "worse.onnx"
    onnx.save(proto, str(path))
    return str(path)


def test_a_table_of_the_metric_and_its_classes(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["accuracy", MODEL, str(few)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines() if line][:7] == [
        "model", "pictures", "task", "mAP50-95", "mAP50", "median", "found",
    ]  # fmt: skip
    assert "20, coco" in out
    assert sum("━" in line for line in out.splitlines()) == 10
    assert err == ""


def test_json_is_one_document(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["accuracy", PUBLISHED, str(few), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert (found["task"], found["pictures"], found["verdict"]) == ("detect", 20, None)
    assert found["score"]["metric"] == "mAP50-95"
    assert 0.7 < found["score"]["value"] < 0.9
    assert found["score"]["classes"][4]["name"] == "4"


def test_the_published_model_is_the_network_it_was_made_from(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["accuracy", PUBLISHED, str(few), "--against", MODEL]) == 0
    assert "+0.0000  [+0.0000, +0.0000]" in capsys.readouterr().out


def test_a_worse_model_is_an_error_with_its_reasons(few: Path, worse: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["accuracy", worse, str(few), "--against", PUBLISHED]) == 34
    out, err = capsys.readouterr()
    assert "mAP50-95" in out
    assert "worse.onnx is not as good as" in err.splitlines()[-1]
    assert "mAP50-95 falls from 0.8" in err.splitlines()[-1]


def test_without_labels_another_model_is_needed(few: Path, worse: str, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = str(few / "images")
    assert kit.cli.run(["accuracy", MODEL, pictures]) == 27
    assert "has no labels that were found" in capsys.readouterr().err
    assert kit.cli.run(["accuracy", worse, pictures, "--against", MODEL, "--quiet"]) == 34
    out, err = capsys.readouterr()
    assert out == ""
    assert "agreement mAP50-95 falls from 1.000 to 0." in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.onnx", "."], 10, "nowhere.onnx does not exist"),
        ([MODEL, "nowhere"], 27, "validation nowhere: no such file or folder; give a COCO file"),
        ([MODEL, MODEL], 27, "is no validation set for the task detect; give a COCO file"),
        (["grpc://localhost:1/digits", "."], 53, "no Triton answers at grpc://localhost:1"),
        ([MODEL, "{few}", "--labels", "coco-80"], 2, "has 80 names, the model has 10 classes"),
        ([MODEL, "{few}", "--metric", "nothing"], 28, "the form is package.module:callable"),
        ([MODEL, "{few}", "--batch", "0"], 2, "0 is not in the range"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], code: int, said: str, few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kit.cli.run(["accuracy", *(a.format(few=few) for a in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kit: ")
    assert err.count("\n") == 1
    assert said in err


def signature(*outputs: tuple[str, int], dtype: DataType = DataType.UINT8) -> Signature:
    frame = Tensor(name="images", dtype=dtype, shape=(-1, 32, 32, 3))
    made = tuple(Tensor(name=n, dtype=DataType.FP32, shape=(-1,) * rank) for n, rank in outputs)
    return Signature(inputs=(frame,), outputs=made)


@pytest.mark.parametrize(
    ("outputs", "task"),
    [
        ((("num", 2), ("boxes", 3), ("scores", 2), ("classes", 2)), "detect"),
        ((("num", 2), ("boxes", 3), ("scores", 2), ("classes", 2), ("masks", 4)), "instances"),
        ((("num", 2), ("boxes", 3), ("scores", 2), ("classes", 2), ("keypoints", 4)), "pose"),
        ((("probabilities", 2),), "classify"),
        ((("embedding", 2),), "embed"),
        ((("scores", 4),), "segment"),
        ((("classes", 3),), "segment"),
        ((("scores", 2),), None),
        ((("output0", 3),), None),
    ],
)
def test_a_served_model_is_known_by_its_outputs(outputs: tuple[tuple[str, int], ...], task: str | None) -> None:
    assert evaluation.served_task(signature(*outputs)) == task
    assert evaluation.served_task(signature(*outputs, dtype=DataType.FP32)) is None
