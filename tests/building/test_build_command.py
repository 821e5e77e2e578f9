"""``kit build`` from a published repository to an engine in it, with programs that stand in for TensorRT."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import drafts
import models
import networks
import onnx
import pytest
from devices import generate, program

import kit.cli
from kit import targets
from kit.engines import provenance
from kit.server import docker
from kit.server.interface import ServerOptions

PLAN = "detector/1/model.t4.plan"
L4 = {"name": "NVIDIA L4", "compute_capability": "8.9", "driver": None}


def build(repository: Path, *more: str) -> int:
    return kit.cli.run(["build", str(repository), *more])


def record(repository: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((repository / f"{PLAN}.json").read_text())
    return found


@pytest.mark.usefixtures("trtexec")
class TestBuilt:
    def test_the_engine_is_put_in_with_what_is_known_of_it(
        self, repository: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = drafts.tree(repository)
        assert build(repository) == 0
        told = capfd.readouterr().err
        assert "by TensorRT 11.1.0 on Tesla T4 (7.5) with trtexec" in told
        assert "batch 1: 2.00 ms, p99 2.49 ms, 500/s; batch 4: 2.00 ms, p99 2.49 ms, 2000/s" in told
        assert "answers as ONNX Runtime does on random inputs" in told
        after = drafts.tree(repository)
        assert set(after) - set(before) == {PLAN, f"{PLAN}.json"}
        assert {p for p in before if before[p] != after[p]} == {"detector/manifest.json"}
        known = record(repository)
        assert known["tensorrt"] == "11.1.0"
        assert known["gpu"] == {"name": "Tesla T4", "compute_capability": "7.5", "driver": "580.65.06"}
        assert known["onnx"] in (repository / "detector/config.pbtxt").read_text()
        assert known["shapes"] == [
            {"input": "images", "least": [1, 64, 96, 3], "usual": [4, 64, 96, 3], "most": [4, 64, 96, 3]}
        ]
        assert [t["batch"] for t in known["timings"]] == [1, 4]
        assert "--skipInference" in known["arguments"]

    def test_what_is_current_is_not_built_again(self, built: Path, capfd: pytest.CaptureFixture[str]) -> None:
        before = drafts.tree(built)
        assert build(built) == 0
        assert "is current" in capfd.readouterr().err
        assert drafts.tree(built) == before
        assert build(built, "--workspace", "512") == 0
        assert "memPoolSize=workspace:512" in " ".join(record(built)["arguments"])

    def test_generating_the_same_model_again_keeps_the_engine(self, built: Path, tmp_path: Path) -> None:
        before = drafts.tree(built)
        proto = networks.yolov8(metadata=networks.ultralytics("detect", 5))
        generate(proto, built, max_batch_size=4)
        assert drafts.tree(built) == before
        generate(proto, built, max_batch_size=2)  # only a text differs
        assert (built / PLAN).read_bytes() == before[PLAN]

    def test_another_model_does_not_get_the_old_ones_engine(
        self, built: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        generate(networks.yolov8(seed=3, metadata=networks.ultralytics("detect", 5)), built, max_batch_size=4)
        assert not (built / "detector/2/model.t4.plan").exists()
        assert serving(built) == 58
        assert "has no engine for t4 yet; run here: kit build" in capfd.readouterr().err

    def test_an_engine_that_was_removed_is_built_again(self, built: Path) -> None:
        (built / PLAN).unlink()
        assert build(built) == 0
        assert (built / PLAN).is_file()
        assert serving(built) != 58

    def test_a_fixed_batch_is_fixed_in_the_engine(self, tmp_path: Path, trtexec: Path) -> None:
        repository = generate(models.classifier(3), tmp_path / "one", task="classify", max_batch_size=1)
        assert build(repository) == 0
        plan = (repository / "detector/1/model.t4.plan").read_bytes().partition(b"\n")[2]
        graph = onnx.load_from_string(plan).graph
        shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)]
        assert shapes == [[1, 8, 10, 3], [1, 3]]

    def test_json(self, repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert build(repository, "--json") == 0
        (made,) = json.loads(capfd.readouterr().out)
        assert made["new"] is True
        assert made["made"]["plan"] == record(repository)["plan"]

    def test_a_dla_core_is_written_into_the_configuration(
        self, tmp_path: Path, trtexec: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program(trtexec, "nvidia-smi", "#!/bin/sh\necho 'Orin, 8.7, N/A'\n")
        monkeypatch.setenv("STANDIN_TENSORRT", "10.11.0")
        monkeypatch.setenv("STANDIN_CAPABILITY", "8.7")
        repository = generate(
            _in_half(models.classifier(3)), tmp_path / "one", task="classify", max_batch_size=1,
            targets=("orin-nx-16gb",),
        )  # fmt: skip
        assert build(repository, "--dla", "1") == 0
        text = (repository / "detector/configs/orin-nx-16gb.pbtxt").read_text()
        assert "secondary_devices [ { kind: KIND_NVDLA device_id: 1 } ]" in text
        assert (repository / "detector/config.pbtxt").read_text() == text
        assert build(repository) == 0  # the configuration says which core


def _in_half(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Let the scores go through FP16 on their way."""
    for node in proto.graph.node:
        node.output[:] = ["wide" if name == "scores" else name for name in node.output]
    proto.graph.node.append(onnx.helper.make_node("Cast", ["wide"], ["half"], to=models.HALF))
    proto.graph.node.append(onnx.helper.make_node("Cast", ["half"], ["scores"], to=models.FLOAT))
    return proto


@pytest.mark.usefixtures("trtexec")
@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        ("memory", 63, "give a smaller --workspace or --max-batch-size"),
        ("silent", 36, "wrote no engine"),
        ("wrong", 36, "the engine answers otherwise than ONNX Runtime does: detections"),
        ("nan", 36, "values that are no numbers"),
    ],
)
def test_what_fails_leaves_the_repository_as_it_was(
    fault: str, code: int, told: str, repository: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = drafts.tree(repository)
    monkeypatch.setenv("STANDIN_FAULT", fault)
    assert build(repository, "--quiet") == code
    said = capfd.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert drafts.tree(repository) == before
    assert not [p for p in repository.parent.iterdir() if p.name.startswith(".repository")]


def test_ctrl_c_ends_trtexec_and_keeps_the_repository(trtexec: Path, repository: Path, tmp_path: Path) -> None:
    before = drafts.tree(repository)
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import kit.cli; kit.cli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "build", str(repository)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "STANDIN_FAULT": "slow"},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("begun")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 130, told
    assert told.splitlines()[-1] == "kit: interrupted; what stood in the output folder still stands"
    assert drafts.tree(repository) == before
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(repository) not in running


class TestRefused:
    """Before anything is built."""

    def test_no_gpu(self, repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        assert build(repository) == 36
        told = capfd.readouterr().err
        assert "no engine for t4 can be built on this machine" in told
        assert "docker is not installed" in told
        assert "--dry-run" in told

    def test_another_gpu(self, repository: Path, gpu: Path, capfd: pytest.CaptureFixture[str]) -> None:
        program(gpu, "nvidia-smi", "#!/bin/sh\necho 'NVIDIA L4, 8.9, 580.65.06'\n")
        assert build(repository) == 58
        assert "t4 has compute capability 7.5, and this machine's NVIDIA L4 has 8.9" in capfd.readouterr().err

    def test_another_release(
        self, repository: Path, trtexec: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("STANDIN_TENSORRT", "10.3.0")
        assert build(repository, "--builder", "trtexec") == 36
        assert "this trtexec is of TensorRT 10.3.0, and the target serves with 11.1.0" in capfd.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (["--target", "t5"], 2, 'did you mean "t4"?'),
            (["--model", "detecto"], 45, 'did you mean "detector"?'),
            (["--builder", "trtexc"], 2, 'did you mean "trtexec"?'),
            (["--dla", "0"], 2, "t4 has no DLA; leave it out"),
            (["--shape", "images=3x3"], 2, "the model takes 64x96x3, without the batch"),
            (["--shape", "image=64x96x3"], 2, "it has images"),
            (["--shape", "images"], 2, "an input and its sizes without the batch"),
            (["--workspace", "0"], 2, "0 is not in the range"),
        ],
    )
    def test_mistakes(
        self, arguments: list[str], code: int, told: str, repository: Path, gpu: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        assert build(repository, *arguments) == code
        assert told in capfd.readouterr().err

    def test_a_repository_that_is_not_for_tensorrt(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        drafts.publish(tmp_path / "repository", "weights")
        assert build(tmp_path / "repository") == 45
        assert "no model in" in (told := capfd.readouterr().err)
        assert "--runtime tensorrt" in told

    def test_no_repository(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert build(tmp_path / "absent") == 45
        assert "make one with: kit generate" in capfd.readouterr().err

    def test_a_model_that_was_edited(self, repository: Path, gpu: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (repository / "detector/1/model.onnx").write_bytes(b"else")
        assert build(repository) == 43
        assert "was changed after kit wrote it, and engines are built of what it wrote" in capfd.readouterr().err

    def test_an_onnx_that_is_gone(self, repository: Path, gpu: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (repository / "detector/1/model.onnx").unlink()
        assert build(repository) == 43
        assert "1/model.onnx is missing from what kit wrote" in capfd.readouterr().err

    def test_a_size_that_is_open(self, tmp_path: Path, gpu: Path, capfd: pytest.CaptureFixture[str]) -> None:
        free = models.classifier(3)
        for axis, name in ((2, "h"), (3, "w")):
            free.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
        repository = generate(free, tmp_path / "free", task="classify")
        assert build(repository, "--dry-run") == 2
        assert "give --shape x=640x640x3, or a range as --shape x=320x320x3..640x640x3" in capfd.readouterr().err
        assert build(repository, "--dry-run", "--shape", "x=8x8x3..32x64x3") == 0
        assert "--minShapes=x:1x8x8x3 --optShapes=x:8x32x64x3 --maxShapes=x:8x32x64x3" in capfd.readouterr().out


class TestDryRun:
    """The exact command lines of the container, for a card and for a Jetson."""

    def lines(self, repository: Path, capfd: pytest.CaptureFixture[str], *more: str) -> list[list[str]]:
        capfd.readouterr()
        assert build(repository, "--dry-run", *more) == 0
        return [shlex.split(line) for line in capfd.readouterr().out.splitlines()]

    def test_a_card(self, repository: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        first, *measuring = self.lines(repository, capfd)
        assert first == [
            "docker", "run", "--rm", "--init", "--name=kit-build-detector-t4", "--gpus=all", "--network=none",
            f"--user={os.getuid()}:{os.getgid()}", "--volume=/tmp/kit-build:/work",
            f"--volume={tmp_path}/cache/engines:/timing", "--workdir=/work",
            "--entrypoint=/usr/src/tensorrt/bin/trtexec", targets.load("t4").stack.image,
            "--onnx=/work/model.onnx", "--saveEngine=/work/model.t4.plan", "--minShapes=images:1x64x96x3",
            "--optShapes=images:4x64x96x3", "--maxShapes=images:4x64x96x3", "--memPoolSize=workspace:2048",
            "--timingCacheFile=/timing/t4-11.1.0.timing", "--skipInference",
        ]  # fmt: skip
        assert [line[-1] for line in measuring] == ["--dumpRawBindingsToFile"] * 2
        assert "--shapes=images:4x64x96x3" in measuring[1]

    def test_a_jetson(self, tmp_path: Path, capfd: pytest.CaptureFixture[str], gpu: Path) -> None:
        program(gpu, "nvidia-smi", "#!/bin/sh\nexit 9\n")
        proto = networks.yolov8(metadata=networks.ultralytics("detect", 5))
        repository = generate(proto, tmp_path / "jetson", targets=("orin-nx-16gb",))
        first, *_ = self.lines(repository, capfd)
        assert "--runtime=nvidia" in first
        assert "--group-add=video" in first
        assert "--gpus=all" not in first
        assert targets.load("orin-nx-16gb").stack.image in first

    def test_another_image(self, repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
        first, *_ = self.lines(repository, capfd, "--image", "nvcr.io/nvidia/tensorrt:26.07-py3")
        assert "nvcr.io/nvidia/tensorrt:26.07-py3" in first

    def test_nothing_is_written(self, repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
        before = drafts.tree(repository.parent)
        self.lines(repository, capfd)
        assert drafts.tree(repository.parent) == before


def serving(repository: Path) -> int:
    """Return what ``kit serve --engine docker`` ends with where no docker is."""
    return kit.cli.run(["serve", str(repository), "--engine", "docker", "--target", "t4"])


@pytest.mark.usefixtures("trtexec")
class TestServing:
    """An engine that is not what is wanted is refused before a server starts."""

    def change(self, repository: Path, **fields: Any) -> None:
        path = repository / f"{PLAN}.json"
        path.write_text(json.dumps({**record(repository), **fields}))

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"onnx": "1" * 64}, "was built from another model than the one that is published now"),
            ({"tensorrt": "10.11.0"}, "was built by TensorRT 10.11.0, and t4 serves with 11.1.0.106"),
            ({"gpu": L4}, "compute capability 8.9, and this machine's GPU (Tesla T4) has 7.5"),
            ({"max_batch_size": 2}, "takes batches up to 2, and its configuration says 4"),
            ({"plan": "2" * 64}, "was changed after it was built"),
            ({"format": 1}, "says nothing of where it was built"),
        ],
    )  # fmt: skip
    def test_refused(
        self, fields: Mapping[str, Any], told: str, built: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.change(built, **fields)
        assert serving(built) == 58
        said = capfd.readouterr().err
        assert told in said
        assert said.rstrip().endswith(f"run here: kit build {built} --target t4")

    def test_what_fits_is_served(self, built: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert serving(built) == 53  # no docker is here
        assert "docker" in capfd.readouterr().err

    def test_a_version_compatible_engine_of_before_is_served_and_said_so(self, built: Path) -> None:
        options = ServerOptions(repository=built, config_name="t4", target=targets.load("t4"))
        assert not [a for a in docker.command(options) if "version-compatible" in a]
        self.change(built, tensorrt="10.11.0", version_compatible=True)
        assert serving(built) == 53
        assert "--backend-config=tensorrt,version-compatible=true" in docker.command(options)

    def test_an_engine_of_another_maker_is_let_pass(self, built: Path) -> None:
        config = built / "detector/configs/t4.pbtxt"
        text = "\n".join(line for line in config.read_text().splitlines() if "kit_digest" not in line)
        config.write_text(text)
        (built / f"{PLAN}.json").unlink()
        assert serving(built) == 53

    def test_what_is_known_is_read_back(self, built: Path) -> None:
        made = provenance.read(built / PLAN)
        assert made is not None
        assert provenance.text(made) == (built / f"{PLAN}.json").read_text()
