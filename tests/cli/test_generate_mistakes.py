"""Every mistake that a user makes with ``kit generate``: its exit code, one line that helps, nothing created."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
from onnx import TensorProto
from PIL import Image

from .conftest import Kit

Refused = Callable[..., None]


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("model.onnx", "x")
    return file.getvalue()


@pytest.fixture
def model(kit_command: Kit) -> str:
    return str(models.save(models.classifier(), Path("model.onnx")))


class TestTheFile:
    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("missing.onnx", "does not exist"),
            ("folder/missing.onnx", "does not exist"),
            ("missing", "is no file"),
            ("", "is no file"),
            ("a" * 300, "is no file"),
            ("a" * 300 + ".onnx", "cannot be read"),
            ("mo\ndel.onnx", "does not exist"),
            ("not a module:build", "is no file"),
            (".", "is a folder"),
            ("/dev/zero", "no regular file"),
        ],
    )
    def test_that_is_not_there(self, refused: Refused, source: str, words: str) -> None:
        refused([source, "--name", "m"], 10, words)

    def test_that_is_not_there_is_answered_with_those_that_are(self, refused: Refused, model: str) -> None:
        refused(["modle.onnx"], 10, "model.onnx")

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"hello, this is no model\n", id="text"),
            pytest.param(b"", id="empty"),
            pytest.param(np.random.default_rng(0).bytes(5000), id="noise"),
            pytest.param(b"\0" * 100, id="zeros"),
            pytest.param(archive(), id="zip"),
            pytest.param(jpeg(), id="jpeg"),
        ],
    )
    def test_that_is_no_onnx(self, refused: Refused, content: bytes) -> None:
        Path("model.onnx").write_bytes(content)
        refused(["model.onnx"], 11, "model.onnx", "torch.onnx.export")

    def test_that_has_lost_its_weights(self, refused: Refused) -> None:
        onnx.save(models.classifier(classes=500), "model.onnx", save_as_external_data=True, location="weights.bin")
        Path("weights.bin").unlink()
        refused(["model.onnx"], 62, "weights.bin", "does not exist")

    def test_that_keeps_a_constant_elsewhere(self, refused: Refused) -> None:
        value = TensorProto(data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        value.external_data.add(key="location", value="../../../etc/passwd")
        nodes = [models.node("Constant", "", "c", value=value), models.node("Mul", "x c", "y")]
        x, y = (("x", models.FLOAT, ("n", 1)), ("y", models.FLOAT, ("n", 1)))
        models.save(models.build(nodes, [x], [y]), Path("model.onnx"))
        refused(["model.onnx"], 62, "../../../etc/passwd", "only regular files in the model's folder")

    @pytest.mark.parametrize(
        "nodes",
        [
            pytest.param([models.node("NoSuchOperator", "x", "y")], id="unknown operator"),
            pytest.param([models.node("Relu", "nothing", "y")], id="dangling input"),
            pytest.param([models.node("Relu", "y", "z"), models.node("Relu", "z", "y")], id="cycle"),
            pytest.param([models.node("Relu", "x", "z")], id="output that nothing makes"),
        ],
    )
    def test_whose_graph_is_wrong(self, refused: Refused, nodes: list[onnx.NodeProto]) -> None:
        x, y = (("x", models.FLOAT, ("n", 1)), ("y", models.FLOAT, ("n", 1)))
        models.save(models.build(nodes, [x], [y]), Path("model.onnx"))
        refused(["model.onnx"], 15, "ONNX Runtime cannot load")

    def test_whose_tensors_are_bfloat16(self, refused: Refused) -> None:
        x, y = (("x", TensorProto.BFLOAT16, ("n", 1)), ("y", TensorProto.BFLOAT16, ("n", 1)))
        models.save(models.build([models.node("Identity", "x", "y")], [x], [y]), Path("model.onnx"))
        refused(["model.onnx"], 15, "BF16", "Cast")

    def test_whose_answers_depend_on_the_neighbours(self, refused: Refused) -> None:
        models.save(models.mixes_the_batch(), Path("model.onnx"))
        refused(["model.onnx"], 31, "output y", "2 are in the batch")

    def test_that_fails_when_it_runs(self, refused: Refused) -> None:
        gather = models.build(
            [models.node("Gather", "table i", "y")],
            [("i", TensorProto.INT64, ("n", 3))],
            [("y", models.FLOAT, ("n", 3, 2))],
            {"table": np.ones((1, 2), np.float32)},
        )
        models.save(gather, Path("model.onnx"))
        refused(["model.onnx"], 15, "does not run with i [1, 3]", "out of data bounds")

    def test_that_answers_nan(self, refused: Refused) -> None:
        graph = models.build(
            [models.node("Log", "z", "l"), models.node("Add", "x l", "y")],
            [("x", models.FLOAT, ("n", 2))],
            [("y", models.FLOAT, ("n", 2))],
            {"z": np.array([-1, 1], np.float32)},
        )
        models.save(graph, Path("model.onnx"))
        refused(["model.onnx"], 31, "y is NaN", "model itself")


class TestWords:
    @pytest.mark.parametrize(
        ("arguments", "code", "word"),
        [
            (["--target", "t5"], 20, 'did you mean "t4"?'),
            (["--target", "x86"], 20, "x86-cpu"),
            (["--target", ""], 20, "choose from"),
            (["--target", "../targets/t4"], 20, "choose from"),
            (["--task", "clasify"], 21, 'did you mean "classify"?'),
            (["--task", "interface"], 21, "choose from"),
            (["--precision", "fp23"], 22, 'did you mean "fp32"?'),
            (["--precision", "__init__"], 22, "choose from"),
            (["--contract", "severed"], 2, "'served'"),
            (["--color", "grb"], 2, "'rgb'"),
            (["--verify", "maybe"], 2, "'auto'"),
            (["--targt", "t4"], 2, "--target"),
            (["surplus.onnx"], 2, "surplus.onnx"),
            (["--targets", "nowhere"], 2, "nowhere"),
        ],
    )
    def test_unknown(self, refused: Refused, model: str, arguments: list[str], code: int, word: str) -> None:
        refused([model, *arguments], code, word)

    def test_unknown_command(self, kit_command: Kit) -> None:
        kit_command("genrate", "x.onnx").refuses(2, 'did you mean "generate"?')

    def test_unknown_option_before_the_command(self, kit_command: Kit) -> None:
        kit_command("--bogus").refuses(2, "--bogus")

    def test_no_source(self, kit_command: Kit) -> None:
        kit_command("generate").refuses(2, "SOURCE", "kit generate --help")

    def test_no_command_is_answered_with_help(self, kit_command: Kit) -> None:
        outcome = kit_command()
        assert (outcome.code, outcome.err) == (0, "")
        assert "generate" in outcome.out
        assert len(outcome.out.splitlines()) > 5

    def test_a_task_that_does_not_fit(self, refused: Refused, model: str) -> None:
        refused([model, "--task", "detect"], 15, "scores FP32[-1, 3]", "--task raw")


class TestNames:
    BAD = (
        "",
        "/",
        "a/b",
        "..",
        ".",
        "a..b",
        ".hidden",
        "-x",
        "with space",
        "naïve",
        "模型",
        "a\nb",
        "a\tb",
        "a:b",
        "a" * 201,
    )

    @pytest.mark.parametrize("name", BAD)
    def test_refused_with_one_that_would_do(self, refused: Refused, kit_command: Kit, model: str, name: str) -> None:
        refused([model, f"--name={name}"], 23, "for example --name ")
        better = re.search(r"for example --name (\S+)", kit_command("generate", model, f"--name={name}").err)
        assert better is not None
        assert kit_command("generate", model, "--no-verify", "--name", better[1]).code == 0

    @pytest.mark.parametrize("file", ["my model.onnx", "-x.onnx", "mod\u00e8le.onnx", "a..b.onnx"])
    def test_of_files_are_held_to_the_same(self, refused: Refused, file: str) -> None:
        models.save(models.classifier(), Path(file))
        refused(["--", file], 23, "the source gives the model name", "--name")

    @pytest.mark.parametrize(
        "name", ["a", "_", "0", "yolo-v8.1_n", "a" * 200, "manifest.json", "repository", "partial", "configs", "1"]
    )
    def test_allowed(self, kit_command: Kit, model: str, name: str) -> None:
        assert kit_command("generate", model, "--name", name, "--no-verify").code == 0
        assert Path("model_repository", name, "1", "model.onnx").is_file()

    def test_a_file_name_that_is_no_unicode_works_with_a_name(self, kit_command: Kit) -> None:
        file = models.save(models.classifier(), Path(b"m\xff.onnx".decode(errors="surrogateescape")))
        assert kit_command("generate", str(file), "--name", "m", "--no-verify").code == 0


class TestValues:
    @pytest.mark.parametrize(
        "option",
        [
            "--score-threshold=-0.1",
            "--score-threshold=1",
            "--score-threshold=nan",
            "--score-threshold=high",
            "--iou-threshold=0",
            "--iou-threshold=1.01",
            "--iou-threshold=nan",
            "--iou-threshold=inf",
            "--max-detections=0",
            "--max-detections=-5",
            "--max-detections=10001",
            "--max-detections=1.5",
            "--max-batch-size=-1",
            "--max-batch-size=4294967296",
            "--max-batch-size=2000000000",
            "--instances=0",
            "--instances=99999999999",
            "--queue-delay-us=-1",
            "--queue-delay-us=18446744073709551616",
            "--threads=-1",
            "--threads=4294967296",
            "--keep=-1",
            "--mean=",
            "--mean=a,b,c",
            "--mean=nan,nan,nan",
            "--mean=1e400,0,0",
            "--std=0,1,1",
            "--std=1e-320,1,1",
            "--std=inf,1,1",
            "--input-shape=0x3",
            "--input-shape=00x3",
            "--input-shape=3x-1",
            "--input-shape=x",
            "--input-shape=\u0663x8",
            "--input-shape=3x99999999999999",
            "--output=",
            "--output= ",
        ],
    )
    def test_out_of_range(self, refused: Refused, model: str, option: str) -> None:
        refused([model, option], 2)

    @pytest.mark.parametrize("pair", [("--mean=1,2", "--std=1,2,3"), ("--mean=1,2", "--std=1,2")])
    def test_means_that_fit_no_channels(self, refused: Refused, model: str, pair: tuple[str, str]) -> None:
        refused([model, *pair], 2 if "," in pair[1][8:] else 15, "mean")

    def test_batches_of_a_model_without_any(self, refused: Refused) -> None:
        models.save(models.scale(batch=2), Path("model.onnx"))
        refused(["model.onnx", "--max-batch-size", "4"], 15, "no batch dimension")


class TestLabels:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"a\nb\n", "has 2 lines, the model has 3 classes"),
            (b"a\nb\nc\nd\n", "has 4 lines"),
            (b"", "has 0 lines"),
            (b"\xff\xfe\x00\x81", "cannot be read"),
        ],
    )
    def test_that_do_not_fit(self, refused: Refused, model: str, content: bytes, words: str) -> None:
        Path("labels.txt").write_bytes(content)
        refused([model, "--labels", "labels.txt"], 2, words)

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("missing.txt", ["no such file, nor a known set", "choose from coco-80"]),
            (".", ["is a folder"]),
            ("imagenet1k", ['did you mean "imagenet-1k"?']),
            ("voc-20", ["has 20 names, the model has 3 classes"]),
        ],
    )
    def test_that_are_none(self, refused: Refused, model: str, given: str, words: list[str]) -> None:
        refused([model, "--labels", given], 2, *words)

    @pytest.mark.parametrize("names", ["{[]: 1}", "[" * 5000, "{0: 'a', 1: 'b'}", "3", "[1, 2, 3]", "__import__('os')"])
    def test_in_the_model_that_are_no_names_are_left_out(self, kit_command: Kit, names: str) -> None:
        models.save(models.classifier(metadata={"names": names}), Path("model.onnx"))
        assert kit_command("generate", "model.onnx", "--no-verify").code == 0
        assert not Path("model_repository/model/labels.txt").exists()

    def test_in_the_model_are_used(self, kit_command: Kit) -> None:
        models.save(models.classifier(metadata={"names": "{0: 'a', 1: 'two\\nlines', 2: 'c'}"}), Path("model.onnx"))
        assert kit_command("generate", "model.onnx", "--no-verify").code == 0
        assert Path("model_repository/model/labels.txt").read_text() == "a\ntwo lines\nc\n"
        assert 'label_filename: "labels.txt"' in Path("model_repository/model/config.pbtxt").read_text()


class TestImages:
    @pytest.mark.parametrize("option", ["--calibration", "--validation"])
    def test_folder_that_holds_none(self, refused: Refused, model: str, option: str) -> None:
        Path("images", "folder.jpg").mkdir(parents=True)
        Path("images", "notes.txt").write_text("none here")
        refused([model, option, "images"], 16, "holds no images")
        refused([model, option, "nowhere"], 16, "is no folder")
        refused([model, option, model], 16, "is no folder")

    @pytest.mark.parametrize("content", [b"", b"not a picture", jpeg()[:60], jpeg()[:-40] + b"\0" * 8], ids=len)
    def test_broken(self, refused: Refused, model: str, content: bytes) -> None:
        Path("images").mkdir()
        Path("images", "broken.jpg").write_bytes(content)
        refused([model, "--calibration", "images"], 16, "broken.jpg")

    def test_links_to_nowhere_are_no_images(self, refused: Refused, model: str) -> None:
        Path("images").mkdir()
        Path("images", "gone.jpg").symlink_to("nowhere.jpg")
        refused([model, "--calibration", "images"], 16, "holds no images")


class TestTheOutput:
    def test_that_is_a_file(self, refused: Refused, model: str) -> None:
        Path("file").write_text("mine")
        refused([model, "--output", "file"], 40, "is a file")
        refused([model, "--output", "file/below"], 40, "is a file")
        assert Path("file").read_text() == "mine"

    def test_whose_model_folder_is_a_file(self, refused: Refused, model: str) -> None:
        Path("out").mkdir()
        Path("out", "model").write_text("mine")
        refused([model, "--output", "out"], 42, "out/model is a file")

    def test_nested_is_not_made_for_a_mistake(self, refused: Refused) -> None:
        refused(["missing.onnx", "--output", "a/b/c"], 10)

    def test_nested_is_made_for_a_model(self, kit_command: Kit, model: str) -> None:
        assert kit_command("generate", model, "--no-verify", "--output", "a/b/c").code == 0
        assert sorted(p.name for p in Path("a/b").iterdir()) == ["c", "c.report.json"]


def test_a_target_that_lacks_what_is_asked_for(refused: Refused, model: str) -> None:
    options = ["--target", "orin-nano-8gb", "--threads", "16"]
    refused([model, *options], 2, "orin-nano-8gb has 6 CPU threads, not 16; ask for 6 or fewer, or choose ")
