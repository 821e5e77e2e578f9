"""``kit generate`` with a real Triton: what is seen, what is caught, and that no server stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest

import kit.cli
import kit.graph
from kit import compare, config, manifest, verify
from kit.answered import Answered
from kit.errors import ParityError, VerificationError
from kit.inputs import Recipe
from kit.server import embedded, environment
from kit.server.interface import ServerOptions
from kit.targets.values import Target
from kit.types import Artifact, Entry

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs", "cold_cache")]

OUT = Path("model_repository")
Generate = Callable[..., dict[str, Any]]


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Generate:
    """Return ``generate(model, *options)``: publishes it as ``m`` and gives the JSON answer."""
    environment.prepare(["onnxruntime"], lambda line: None)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(model: onnx.ModelProto, *options: str) -> dict[str, Any]:
        models.save(model, Path("m.onnx"))
        capfd.readouterr()
        code = kit.cli.run(["generate", "m.onnx", "--json", *options])
        captured = capfd.readouterr()
        assert (code, captured.err) == (0, "")
        answer: dict[str, Any] = json.loads(captured.out)
        return answer

    return run


def one_number() -> onnx.ModelProto:
    return models.build([models.node("Mul", "x x", "y")], [("x", models.FLOAT, ("n",))], [("y", models.FLOAT, ("n",))])


def a_scalar() -> onnx.ModelProto:
    return models.build([models.node("Mul", "x x", "y")], [("x", models.FLOAT, ())], [("y", models.FLOAT, ())])


def levels(answer: dict[str, Any]) -> dict[str, str]:
    return {name: t["verification"]["level"] for name, t in answer["manifest"]["targets"].items()}


def servers(word: str) -> list[int]:
    """Return the processes with ``word`` in their command line, this one and its parents apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line and b"tritonserver" in line:
                found.append(int(entry.name))
    return found


@pytest.fixture
def no_server_stays(tmp_path: Path, cold_cache: Path) -> Any:
    yield
    deadline = time.monotonic() + 60
    while servers(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers(str(tmp_path)) == []
    mine = [p.name for p in (cold_cache / "server" / "run").glob(f"kit-{os.getpid()}-*")]
    assert mine == []


@pytest.mark.usefixtures("no_server_stays")
class TestSeen:
    @pytest.mark.parametrize(
        ("model", "options", "batches"),
        [
            pytest.param(models.detector(anchors=60), (), None, id="detector"),
            pytest.param(
                models.classifier(metadata={"names": "['a', 'b', 'c']"}), (), None, id="classifier with labels"
            ),
            pytest.param(models.two_inputs(), (), None, id="several inputs, one number per element"),
            pytest.param(models.two_inputs(), ("--max-batch-size", "0"), [1], id="several inputs without batches"),
            pytest.param(one_number(), (), None, id="one number in, one out"),
            pytest.param(a_scalar(), (), [1], id="a scalar"),
            pytest.param(models.text_model(), (), None, id="text"),
            pytest.param(models.classifier(batch=1), (), None, id="fixed batch of 1, made variable"),
            pytest.param(models.classifier(batch=1), ("--max-batch-size", "0"), [1], id="fixed batch of 1"),
            pytest.param(models.scale(batch=3), (), [1], id="fixed batch of 3"),
            pytest.param(models.scale(), ("--max-batch-size", "0"), [1], id="not batched"),
            pytest.param(models.scale(), ("--max-batch-size", "5"), [1, 5], id="batch of 5"),
            pytest.param(models.detector(), ("--contract", "native"), None, id="native"),
        ],
    )
    def test_every_kind_of_model_answers(
        self, generate: Generate, model: onnx.ModelProto, options: tuple[str, ...], batches: list[int] | None
    ) -> None:
        answer = generate(model, *options)
        assert levels(answer) == {"x86-cpu": "live"}
        seen = answer["manifest"]["targets"]["x86-cpu"]["verification"]
        assert seen["batches"] == batches or (batches is None and seen["batches"][0] == 1 and seen["batches"][1] > 1)
        assert sorted(p.name for p in Path().iterdir()) == [
            "m.onnx",
            "model_repository",
            "model_repository.report.json",
        ]

    def test_targets_that_cannot_run_here_are_told_from_those_that_can(self, generate: Generate) -> None:
        answer = generate(models.classifier(), "--target", "x86-cpu", "--target", "arm64-cpu", "--target", "t4")
        found = levels(answer)
        assert found["x86-cpu"] == "live"
        assert found["t4"] == "weights"
        record = answer["manifest"]["targets"]["arm64-cpu"]["verification"]
        assert record["level"] == "live"
        assert "not run on" in record["reason"]

    def test_only_targets_that_need_a_gpu(self, generate: Generate) -> None:
        answer = generate(models.classifier(), "--target", "t4", "--target", "orin-nx-16gb")
        assert levels(answer) == {"t4": "weights", "orin-nx-16gb": "weights"}
        assert "needs a GPU" in answer["manifest"]["targets"]["t4"]["verification"]["reason"]

    def test_the_second_run_starts_no_server(self, generate: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
        first = generate(models.classifier())
        started = []
        monkeypatch.setattr(embedded, "start", lambda *_: started.append(1))
        second = generate(models.classifier())
        assert second["entry"]["changed"] is False
        assert second["manifest"] == first["manifest"]
        third = generate(models.classifier(), "--queue-delay-us", "123")
        assert third["entry"]["changed"] is True
        assert levels(third) == {"x86-cpu": "weights"}
        assert started == []

    def test_verify_live_asks_again(self, generate: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
        generate(models.classifier())
        started, start = [], embedded.start
        monkeypatch.setattr(embedded, "start", lambda *a: (started.append(1), start(*a))[1])
        assert levels(generate(models.classifier(), "--verify", "live", "--queue-delay-us", "5")) == {"x86-cpu": "live"}
        assert started == [1]

    def test_an_unverified_repository_is_verified_later(self, generate: Generate) -> None:
        assert levels(generate(models.classifier(), "--no-verify")) == {"x86-cpu": "none"}
        later = generate(models.classifier())
        assert levels(later) == {"x86-cpu": "live"}
        assert later["entry"]["version"] == 1
        again = generate(models.classifier(), "--no-verify")
        assert again["entry"]["changed"] is False
        found = manifest.read(OUT / "m")
        assert found is not None
        assert found.targets["x86-cpu"].verification.level == "live"

    def test_what_is_published_is_what_was_asked(self, generate: Generate) -> None:
        answer = generate(models.detector(), "--target", "x86-cpu", "--target", "t4")
        found = manifest.read(OUT / "m")
        assert found is not None
        assert json.loads(manifest.text(found)) == answer["manifest"]
        served = ServerOptions(repository=OUT, config_name="x86-cpu")
        with embedded.running(served) as server:
            assert [m.name for m in server.ready_models()] == ["m"]


@pytest.mark.usefixtures("no_server_stays")
class TestCaught:
    @pytest.fixture
    def staged(self, tmp_path: Path, x86: Target) -> Callable[[onnx.ModelProto, str], verify.Candidate]:
        """Stage a model by hand; the candidate's artifact is what its answers are compared with."""

        def make(model: onnx.ModelProto, text: str) -> verify.Candidate:
            folder = tmp_path / "repository" / "m"
            (folder / "1").mkdir(parents=True)
            path = models.save(model, folder / "1" / "model.onnx")
            (folder / "config.pbtxt").write_text(text)
            described = kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))
            artifact = Artifact(
                backend="onnxruntime", filename="model.onnx", path=path, digest="", signature=described.signature
            )
            return verify.Candidate(target=x86, artifact=artifact, text=text, max_batch_size=4, threads=1)

        return make

    @pytest.fixture
    def x86(self) -> Target:
        from kit import targets

        return targets.load("x86-cpu")

    TEXT = (
        'name: "m"\nbackend: "onnxruntime"\nmax_batch_size: 4\ndefault_model_filename: "model.onnx"\n'
        'input { name: "x" data_type: TYPE_FP32 dims: [4] }\noutput { name: "y" data_type: TYPE_FP32 dims: [4] }\n'
        "instance_group { kind: KIND_CPU count: 1 }\n"
        'parameters { key: "intra_op_thread_count" value { string_value: "1" } }\n'
    )

    def ask(self, candidate: verify.Candidate, repository: Path, answered: Answered | None = None) -> None:
        recipe = Recipe(signature=candidate.artifact.signature, count=4)
        with embedded.running(ServerOptions(repository=repository, load_at_start=False, auto_complete=False)) as server:
            entry = Entry(name="m", path=repository / "m", version=1, changed=True)
            verify.answers(server, entry, (candidate,), recipe, (0.0,), answered or Answered("of another file"))

    def test_the_right_answer_passes(self, staged: Any, tmp_path: Path) -> None:
        self.ask(staged(models.scale(2), self.TEXT), tmp_path / "repository")

    def test_a_staged_model_that_answers_otherwise(self, staged: Any, tmp_path: Path) -> None:
        candidate = staged(models.scale(2), self.TEXT)
        other = models.save(models.scale(np.nextafter(np.float32(2), np.float32(3))), tmp_path / "other.onnx")
        wrong = replace(candidate, artifact=replace(candidate.artifact, path=other))
        with pytest.raises(
            VerificationError, match=r"^verify \(x86-cpu, batch 1\): y is .* from ONNX Runtime's answer"
        ):
            self.ask(wrong, tmp_path / "repository")

    def test_a_model_that_mixes_is_not_hidden_by_a_batch_of_one(self, staged: Any, tmp_path: Path) -> None:
        candidate = staged(models.mixes_the_batch(), self.TEXT)
        other = models.save(models.scale(0), tmp_path / "other.onnx")  # equal at batch 1: x - mean(x) is 0
        wrong = replace(candidate, artifact=replace(candidate.artifact, path=other))
        with pytest.raises(VerificationError, match=r"batch 4\): y is"):
            self.ask(wrong, tmp_path / "repository")

    def told(self, candidate: verify.Candidate, factor: float, sizes: tuple[int, ...] = (1, 4)) -> Answered:
        """Return what a comparison that runs beside would have told of a graph with the digest that is staged."""
        given = Recipe(signature=candidate.artifact.signature, count=4).make()
        answered = Answered("")
        answered.tell({size: {"y": given.batch(size)["x"] * np.float32(factor)} for size in sizes})
        return answered

    def test_what_the_comparison_found_is_not_run_again(self, staged: Any, tmp_path: Path) -> None:
        candidate = replace(staged(models.scale(2), self.TEXT), threads=0)
        gone = replace(candidate, artifact=replace(candidate.artifact, path=tmp_path / "gone.onnx"))
        self.ask(gone, tmp_path / "repository", self.told(candidate, 2))

    @pytest.mark.parametrize("other", ["threads", "sizes", "values"])
    def test_what_it_cannot_know_or_finds_otherwise_is_asked_of_the_file(
        self, staged: Any, tmp_path: Path, other: str
    ) -> None:
        candidate = replace(staged(models.scale(2), self.TEXT), threads=int(other == "threads"))
        told = self.told(candidate, 3 if other == "values" else 2, (1,) if other == "sizes" else (1, 4))
        self.ask(candidate, tmp_path / "repository", told)
        wrong = models.save(models.scale(3), tmp_path / "other.onnx")
        with pytest.raises(VerificationError, match=r"^verify \(x86-cpu, batch 1\): y is"):
            self.ask(
                replace(candidate, artifact=replace(candidate.artifact, path=wrong)), tmp_path / "repository", told
            )

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("dims: [4] }\noutput", "dims: [5] }\noutput", "m"),
            ("TYPE_FP32 dims: [4] }\noutput", "TYPE_INT8 dims: [4] }\noutput", "m"),
            ('default_model_filename: "model.onnx"', 'default_model_filename: "gone.onnx"', "m"),
        ],
    )
    def test_a_configuration_that_triton_refuses(
        self, staged: Any, tmp_path: Path, old: str, new: str, message: str
    ) -> None:
        from kit.errors import ModelLoadError

        candidate = staged(models.scale(2), self.TEXT.replace(old, new))
        assert config.parse(candidate.text).name == message
        with pytest.raises(ModelLoadError, match="refused to load model 'm'") as caught:
            self.ask(candidate, tmp_path / "repository")
        assert "\n" not in str(caught.value)

    def test_a_failed_verification_publishes_nothing(
        self, generate: Generate, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        generate(models.classifier(seed=1))
        before = {p: p.read_bytes() for p in OUT.rglob("*") if p.is_file()}
        wrong = models.save(models.classifier(seed=3, channels=3), Path("wrong.onnx"))
        monkeypatch.setattr(
            verify,
            "_expected",
            lambda candidate, samples: {
                size: {"probabilities": np.zeros((size, 3), np.float32)} for size in candidate.batches
            },
        )
        models.save(models.classifier(seed=2), Path("m.onnx"))
        capfd.readouterr()
        assert kit.cli.run(["generate", "m.onnx", "--quiet", "--threads", "1"]) == 32
        error = capfd.readouterr().err
        assert error.startswith("kit: verify (x86-cpu, batch 1): probabilities is ")
        assert error.count("\n") == 1
        assert {p: p.read_bytes() for p in OUT.rglob("*") if p.is_file()} == before
        assert sorted(p.name for p in Path().glob(".*")) == []
        assert wrong.exists()

    def test_a_failed_comparison_ends_the_server_that_waits_for_it(
        self, generate: Generate, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def fails(*_: object) -> None:
            time.sleep(2)  # the server has answered meanwhile
            raise ParityError("contract: output y differs")

        monkeypatch.setattr(compare, "check_stages", fails)
        models.save(models.classifier(seed=2), Path("m.onnx"))
        assert kit.cli.run(["generate", "m.onnx", "--quiet"]) == ParityError.exit_code
        assert capfd.readouterr().err == "kit: contract: output y differs\n"
        assert not OUT.exists() or not any(OUT.iterdir())


@pytest.mark.usefixtures("no_server_stays")
class TestKilled:
    """A real process, stopped while its server works."""

    @pytest.fixture
    def process(self, generate: Generate, tmp_path: Path) -> subprocess.Popen[str]:
        generate(models.classifier(seed=1))
        models.save(models.classifier(seed=2), Path("m.onnx"))
        self.before = {p: p.read_bytes() for p in OUT.rglob("*") if p.is_file()}
        command = [sys.executable, "-m", "kit", "generate", "m.onnx"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not servers(str(tmp_path)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no server was started"
            time.sleep(0.01)
        return process

    def end(self, process: subprocess.Popen[str], which: int, pause: float) -> tuple[int, str]:
        time.sleep(pause)
        process.send_signal(which)
        _, error = process.communicate(timeout=300)
        return process.returncode, error

    @pytest.mark.parametrize("pause", [0, 0.1, 0.25])
    def test_by_ctrl_c(self, process: subprocess.Popen[str], pause: float, tmp_path: Path) -> None:
        code, error = self.end(process, signal.SIGINT, pause)
        assert code == 130, error
        assert error.splitlines()[-1] == "kit: interrupted; what stood in the output folder still stands"
        assert "Traceback" not in error
        assert sum(line.startswith("kit: ") for line in error.splitlines()) == 1
        assert servers(str(tmp_path)) == []
        assert {p: p.read_bytes() for p in OUT.rglob("*") if p.is_file()} == self.before
        assert sorted(p.name for p in Path().glob(".*")) == []

    @pytest.mark.parametrize(("which", "told"), [(signal.SIGKILL, -9), (signal.SIGTERM, 128 + 15)])
    def test_by_others(self, process: subprocess.Popen[str], generate: Generate, which: int, told: int) -> None:
        code, error = self.end(process, which, 0.1)
        assert code == told, error
        assert {p: p.read_bytes() for p in OUT.rglob("*") if p.is_file()} == self.before
        answer = generate(models.classifier(seed=2))
        assert answer["entry"]["version"] == 2
        assert sorted(p.name for p in Path().glob(".*")) == []
