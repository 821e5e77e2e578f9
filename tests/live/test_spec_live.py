"""Models of one spec are answered by Tritons of their own, at the same time, and no server stays behind."""

from __future__ import annotations

import json
from pathlib import Path

import models
import pytest

import kit.cli
from kit.server import environment

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("embedded_server_runs", "cold_cache")]


def servers(folder: Path) -> list[str]:
    """Return the command lines of servers that work in ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line and "tritonserver" in line:
                found.append(line)
    return found


def test_two_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    environment.prepare(["onnxruntime"], lambda line: None)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    models.save(models.classifier(), Path("a.onnx"))
    models.save(models.detector(), Path("b.onnx"))
    Path("spec.yaml").write_text("defaults: {targets: [x86-cpu, t4]}\nmodels:\n- source: a.onnx\n- source: b.onnx\n")
    assert kit.cli.run(["generate", "spec.yaml", "--json", "--workers", "2"]) == 0
    answer = json.loads(capfd.readouterr().out)
    for model in answer["models"]:
        levels = {name: t["verification"]["level"] for name, t in model["result"]["manifest"]["targets"].items()}
        assert levels == {"x86-cpu": "live", "t4": "weights"}
    assert servers(here) == []
    assert sorted(p.name for p in here.iterdir()) == [
        "a.onnx", "b.onnx", "model_repository", "model_repository.report.json", "spec.yaml"
    ]  # fmt: skip
