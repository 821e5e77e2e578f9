"""What ``kit generate`` says that it has seen is what happened: by the server's own traces, not by a call counted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import models
import numpy as np
import onnx
import pytest

import kit.cli
from kit import manifest, pipeline
from kit.planning import Plan
from kit.server import embedded, environment
from kit.targets.values import Target
from kit.types import Artifact, Graphs

pytestmark = pytest.mark.live

Generate = Callable[..., dict[str, str]]


@pytest.fixture
def generate(
    tmp_path: Path, cold_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Generate:
    """Return ``generate(model, *options)``: publishes it as ``m`` and gives each target's level."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(model: onnx.ModelProto, *options: str) -> dict[str, str]:
        models.save(model, Path("m.onnx"))
        capfd.readouterr()
        code = kit.cli.run(["generate", "m.onnx", "--json", *options])
        captured = capfd.readouterr()
        assert (code, captured.err) == (0, "")
        targets: dict[str, Any] = json.loads(captured.out)["manifest"]["targets"]
        return {name: record["verification"]["level"] for name, record in targets.items()}

    return run


@pytest.fixture
def servers(cold_cache: Path) -> Iterator[Callable[[], bool]]:
    """Return ``servers()``: whether one was started since it was last asked; each start makes a folder in ``run``."""
    shared = (cold_cache / "server").resolve()
    (cold_cache / "server").unlink()
    runs = cold_cache / "server" / "run"  # its own: other processes start servers, too
    runs.mkdir(parents=True)
    for environment_folder in shared.glob("*-*"):
        (cold_cache / "server" / environment_folder.name).symlink_to(environment_folder)
    last = [runs.stat().st_mtime_ns]

    def started() -> bool:
        assert list(runs.glob("kit-*")) == []  # none stays behind
        before, last[0] = last[0], runs.stat().st_mtime_ns
        return last[0] != before

    return started


@pytest.mark.usefixtures("embedded_server_runs")
class TestWithAServer:
    @pytest.fixture(autouse=True)
    def alone(self) -> None:
        """Make the server's environment now, so that no test is timed by a download."""
        environment.prepare(["onnxruntime"], lambda line: None)

    def test_half_precision_frames(self, generate: Generate) -> None:
        assert generate(models.classifier(element=models.HALF)) == {"x86-cpu": "live"}
        assert generate(models.classifier(element=models.HALF), "--contract", "native", "--output", "raw") == {
            "x86-cpu": "live"
        }
        assert "TYPE_FP16" in Path("raw/m/config.pbtxt").read_text()

    @pytest.mark.parametrize("order", [("t4", "x86-cpu"), ("x86-cpu", "t4")])
    def test_the_first_target_is_the_default_whichever_runs_here(
        self, generate: Generate, order: tuple[str, str]
    ) -> None:
        options = [word for name in order for word in ("--target", name)]
        assert generate(models.detector(), *options) == {"t4": "weights", "x86-cpu": "live"}
        default = Path("model_repository/m/config.pbtxt").read_text()
        assert default == Path(f"model_repository/m/configs/{order[0]}.pbtxt").read_text()

    def test_two_configurations_for_a_cpu_are_both_loaded(self, generate: Generate) -> None:
        found = generate(models.classifier(), "--target", "x86-cpu", "--target", "arm64-cpu")
        assert found == {"x86-cpu": "live", "arm64-cpu": "live"}

    def test_the_same_repository_elsewhere_needs_no_server_but_may_have_one(
        self, generate: Generate, servers: Callable[[], bool]
    ) -> None:
        assert not servers()
        assert generate(models.classifier()) == {"x86-cpu": "live"}
        first = servers()
        assert generate(models.classifier(), "--output", "elsewhere") == {"x86-cpu": "live"}
        assert (first, servers()) == (True, False)
        assert contents(Path("elsewhere")) == contents(Path("model_repository"))
        assert generate(models.classifier(), "--output", "third", "--verify", "live") == {"x86-cpu": "live"}
        assert servers()
        assert contents(Path("third")) == contents(Path("model_repository"))

    @pytest.mark.parametrize(
        ("options", "started"),
        [(("--no-verify",), False), (("--verify", "none"), False), ((), True), (("--verify", "live"), True)],
    )
    def test_a_server_is_started_where_it_was_asked_for(
        self, generate: Generate, servers: Callable[[], bool], options: tuple[str, ...], started: bool
    ) -> None:
        assert generate(models.scale(5.0), *options) == {"x86-cpu": "live" if started else "none"}
        assert servers() == started

    def test_another_weight_is_another_model(self, generate: Generate, servers: Callable[[], bool]) -> None:
        generate(models.scale(2.0))
        servers()
        assert generate(models.scale(float(np.nextafter(np.float32(2), np.float32(3))))) == {"x86-cpu": "live"}
        assert servers()

    @pytest.mark.parametrize(
        ("target", "old", "new", "code", "words"),
        [
            ("x86-cpu", '"0" } }', '"many" } }', 51, "Triton refused to load model 'm': .*failed to convert 'many'"),
            ("arm64-cpu", '"0" } }', '"many" } }', 32, "verify: Triton refused m: .*failed to convert 'many'"),
            (
                "arm64-cpu",
                "TYPE_FP32",
                "TYPE_FP64",
                32,
                r"render: configs/arm64-cpu\.pbtxt: .* expects datatype TYPE_FP64",
            ),
        ],
        ids=["the default's, by Triton", "another target's, by Triton", "before any server, by us"],
    )
    def test_a_wrong_configuration_is_told_in_one_line_and_nothing_is_published(
        self, generate: Generate, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
        target: str, old: str, new: str, code: int, words: str,
    ) -> None:  # fmt: skip
        """As if the renderer had a bug."""
        right = pipeline._config

        def wrong(plan: Plan, graphs: Graphs, to: Target, artifact: Artifact, *, labelled: bool) -> str:
            text = right(plan, graphs, to, artifact, labelled=labelled)
            if to.name != target:
                return text
            assert old in text
            return text.replace(old, new)

        models.save(models.scale(), Path("m.onnx"))
        monkeypatch.setattr(pipeline, "_config", wrong)
        options = ("--quiet", "--threads", "0", "--target", "x86-cpu", "--target", "arm64-cpu")
        assert kit.cli.run(["generate", "m.onnx", *options]) == code
        err = capfd.readouterr().err
        assert re.fullmatch(rf"kit: {words}[^\n]*\n", err), err
        assert sorted(p.name for p in Path().iterdir()) == ["m.onnx"]


class TestWithoutAServer:
    REASON = "no embedded server runs on a typewriter; use --engine docker"

    @pytest.fixture(autouse=True)
    def typewriter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded, "unavailable_reason", lambda: self.REASON)

    def test_it_is_published_and_says_that_nobody_has_seen_it(
        self, generate: Generate, servers: Callable[[], bool]
    ) -> None:
        assert generate(models.detector(), "--target", "x86-cpu", "--target", "t4") == {
            "x86-cpu": "offline",
            "t4": "offline",
        }
        found = manifest.read(Path("model_repository/m"))
        assert found is not None
        for record in found.targets.values():
            seen = record.verification
            assert (seen.server, seen.batches, seen.reason) == (None, (), self.REASON)
        assert not servers()

    def test_the_screen_says_why(self, generate: Generate, capfd: pytest.CaptureFixture[str]) -> None:
        models.save(models.classifier(), Path("m.onnx"))
        assert kit.cli.run(["generate", "m.onnx"]) == 0
        err = capfd.readouterr().err
        assert f"not verified by a real Triton: {self.REASON}" in err
        assert re.search(rf"^  x86-cpu +NOT VERIFIED +{re.escape(self.REASON)}$", err, re.MULTILINE)
        assert "published model_repository/m version 1" in err

    def test_parity_is_held_all_the_same(self, generate: Generate, capfd: pytest.CaptureFixture[str]) -> None:
        models.save(models.mixes_the_batch(), Path("m.onnx"))
        assert kit.cli.run(["generate", "m.onnx", "--quiet"]) == 31
        assert not Path("model_repository").exists()
        capfd.readouterr()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
