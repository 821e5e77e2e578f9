"""``kit inspect``: says what a model is and what would be made of it, and makes nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import models
import onnx
import pytest

from .conftest import Kit

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits" / "digits.onnx"


@pytest.fixture
def inspected(kit_command: Kit) -> Any:
    """Return ``inspected(model, *options)``: the JSON document; nothing may be written beside the model."""

    def run(model: onnx.ModelProto | Path, *options: str) -> dict[str, Any]:
        path = model if isinstance(model, Path) else models.save(model, Path("m.onnx"))
        before = sorted(Path().rglob("*"))
        outcome = kit_command("inspect", str(path), "--json", *options)
        assert (outcome.code, outcome.err) == (0, "")
        assert sorted(Path().rglob("*")) == before
        answer: dict[str, Any] = json.loads(outcome.out)
        return answer

    return run


class TestJson:
    def test_has_all_that_is_known_of_the_example(self, inspected: Any) -> None:
        found = inspected(DIGITS)
        assert found["kind"] == "onnx"
        assert found["size"] == DIGITS.stat().st_size
        assert found["anatomy"]["opsets"] == {"ai.onnx": 18}
        assert found["signature"]["inputs"] == [{"name": "images", "dtype": "FP32", "shape": [-1, 3, 320, 320]}]
        assert found["dimensions"]["images"] == ["batch", "3", "320", "320"]
        assert found["batch"] == "of any size"
        assert found["meaning"]["task"] == "detect"
        assert found["labels"] == [str(n) for n in range(10)]
        assert found["fused"]["before"] == ["NHWC to NCHW", "pixel / 255"]
        assert found["fused"]["after"]["NonMaxSuppression"] == 1
        assert [t["name"] for t in found["fused"]["signature"]["outputs"]] == ["num", "boxes", "scores", "classes"]
        assert found["fused"]["signature"]["inputs"][0]["shape"] == [-1, 320, 320, 3]
        assert (found["anatomy"]["customs"], found["anatomy"]["quantization"], found["problem"]) == ([], None, None)
        assert 2e8 < found["cost"]["macs"] < 4e8

    def test_what_it_says_would_be_served_is_what_is_served(self, inspected: Any, kit_command: Kit) -> None:
        said = inspected(models.classifier(layout="NHWC", opset=11))["fused"]["signature"]
        made = json.loads(kit_command("generate", "m.onnx", "--no-verify", "--json").out)["manifest"]["signature"]
        assert said == made

    def test_the_cost_of_a_free_size_is_counted_where_one_is_given(self, inspected: Any) -> None:
        proto = models.build(
            [
                models.node("Conv", "x w", "c"),
                models.node("GlobalAveragePool", "c", "g"),
                models.node("Flatten", "g", "y"),
            ],
            [("x", models.FLOAT, ("n", 3, "h", "w"))],
            [("y", models.FLOAT, ("n", 4))],
            {"w": models.np.zeros((4, 3, 1, 1), models.np.float32)},
        )  # fmt: skip
        free = inspected(proto)
        assert free["cost"]["macs"] is None
        assert "--input-shape" in free["cost"]["unknown"]
        assert inspected(proto, "--input-shape", "3x10x20")["cost"]["macs"] == 4 * 3 * 200

    def test_a_task_may_be_tried(self, inspected: Any) -> None:
        assert (
            inspected(models.classifier(), "--task", "embed")["fused"]["signature"]["outputs"][0]["name"] == "embedding"
        )
        assert inspected(models.classifier(), "--task", "raw")["fused"] is None

    def test_a_fixed_batch_is_said(self, inspected: Any) -> None:
        assert inspected(models.classifier(batch=4))["batch"] == "fixed at 4"

    def test_two_readings_are_told_as_the_refusal_that_they_would_be(self, inspected: Any) -> None:
        found = inspected(models.classifier(classes=128))
        assert found["meaning"] is None
        assert "--task classify" in found["problem"]
        assert "--task embed" in found["problem"]
        assert found["cost"]["macs"] == 3 * 128

    def test_what_no_backend_here_runs_is_described_by_its_file(self, inspected: Any) -> None:
        proto = models.classifier()
        proto.graph.node.append(onnx.helper.make_node("RoiAlignRotated", ["scores"], ["y"], domain="mmcv"))
        proto.graph.output[0].name = "y"
        proto.opset_import.add(domain="mmcv", version=1)
        found = inspected(proto)
        assert [(c["domain"], c["name"], c["served"]) for c in found["anatomy"]["customs"]] == [
            ("mmcv", "RoiAlignRotated", False)
        ]
        assert "mmcv::RoiAlignRotated" in found["problem"]
        assert [t["name"] for t in found["signature"]["outputs"]] == ["y"]
        assert found["signature"]["inputs"][0]["shape"] == [-1, 3, 8, 10]


class TestTerminal:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")

    @pytest.mark.parametrize(
        "words",
        [
            ["takes", "images", "FP32 [batch, 3, 320, 320]"],
            ["batch", "of any size"],
            ["task", "detect, head yolov8"],
            ["labels", "10 in the metadata: 0, 1, 2, 3 ..."],
            ["before", "NHWC to NCHW > pixel / 255"],
            ["gives", "num", "INT32 [N, 1]"],
            ["weights", "331 K FP32 (1.33 MB)"],
            ["cost", "289 MMACs, 578 MFLOPs for 1x3x320x320"],
            ["quantised", "no"],
            ["Conv", "34", "━━━"],
        ],
        ids=lambda words: words[0],
    )
    def test_says_it_in_lines_of_a_word_and_what_is_to_be_said(self, words: list[str], kit_command: Kit) -> None:
        outcome = kit_command("inspect", str(DIGITS))
        assert (outcome.code, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        assert all(len(line.rstrip()) <= 80 for line in lines[1:])  # the first is the path
        assert any(all(word in line for word in words) for line in lines)

    def test_names_the_labels_that_would_fit(self, kit_command: Kit) -> None:
        models.save(models.classifier(classes=1000), Path("m.onnx"))
        assert "none for its 1000 classes; give --labels imagenet-1k" in kit_command("inspect", "m.onnx").out

    def test_says_why_generate_would_refuse(self, kit_command: Kit) -> None:
        models.save(models.classifier(classes=512), Path("m.onnx"))
        outcome = kit_command("inspect", "m.onnx")
        assert outcome.code == 0
        assert "kit generate would refuse it:" in outcome.out


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["nowhere.onnx"], 10, ["nowhere.onnx does not exist"]),
            (["."], 10, ["is a folder"]),
            (["text.onnx"], 11, ["is not an ONNX file"]),
            (["cut.onnx"], 12, ["copy or export it again"]),
            ([], 2, ["Missing argument"]),
            (["m.onnx", "--input-shape", "3,8,8"], 2, ["for example 3x640x640"]),
            (["m.onnx", "--tsk", "raw"], 2, ["No such option"]),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
    )
    def test_are_answered_in_one_line(
        self, arguments: list[str], code: int, words: list[str], kit_command: Kit
    ) -> None:
        models.save(models.classifier(), Path("m.onnx"))
        Path("text.onnx").write_text("hello")
        Path("cut.onnx").write_bytes(DIGITS.read_bytes()[:50_000])
        kit_command("inspect", *arguments).refuses(code, *words)

    def test_a_mistyped_task_is_a_mistake_and_no_description(self, kit_command: Kit) -> None:
        models.save(models.classifier(), Path("m.onnx"))
        kit_command("inspect", "m.onnx", "--task", "clasify").refuses(21, 'did you mean "classify"')


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_are_described_or_refused_and_never_a_traceback(seed: int, kit_command: Kit) -> None:
    generator = random.Random(seed)
    for sound in (models.classifier(), models.detector(), models.text_model()):
        data = bytearray(sound.SerializeToString())
        for _ in range(generator.choice((1, 2, 8))):
            data[generator.randrange(len(data))] = generator.randrange(256)
        Path("m.onnx").write_bytes(data[: generator.choice((len(data), generator.randrange(len(data))))])
        outcome = kit_command("inspect", "m.onnx", "--json")
        assert outcome.code in (0, 10, 11, 12, 15)
        if outcome.code == 0:
            assert json.loads(outcome.out)["anatomy"]["operators"]
        else:
            assert outcome.err.startswith("kit: ")
            assert len(outcome.err.splitlines()) == 1
