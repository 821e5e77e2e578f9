"""A simplified graph that answers otherwise is found before anything is published, and done without."""

from __future__ import annotations

from pathlib import Path

import models
import onnx
import pytest

import kit.cli
import kit.graph
from kit import simplify
from kit.types import Model


@pytest.fixture
def at_fault(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the simplifier turn a product into a difference; returns a list of the models that it was given."""
    original, given = simplify._simplified, []

    def simplified(model: Model, folder: Path) -> Model:
        given.append(model.digest)
        made = original(model, folder)
        proto = onnx.load(str(made.path))
        proto.graph.node[0].op_type = "Sub"
        return kit.graph.describe(made.path, kit.graph.write(proto, made.path))

    monkeypatch.setattr(simplify, "_simplified", simplified)
    return given


@pytest.mark.parametrize("options", [(), ("--no-cache",)])
def test_the_graph_is_served_as_it_was_read(
    options: tuple[str, ...], at_fault: list[str], cold_cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    models.save(models.scale(3.0), tmp_path / "model.onnx")
    assert kit.cli.run(["generate", "model.onnx", "--no-verify", *options]) == 0
    served = onnx.load("model_repository/model/1/model.onnx")
    assert [node.op_type for node in served.graph.node] == ["Mul"]
    told = capfd.readouterr().err
    assert told.count("not simplified") == 2  # when it was found, and what is served
    assert "differs at batch 1" in told
    assert len(at_fault) == 1


def test_the_next_run_knows(
    at_fault: list[str], cold_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models.save(models.scale(3.0), tmp_path / "model.onnx")
    for name in ("one", "two"):
        assert kit.cli.run(["generate", "model.onnx", "--no-verify", "--quiet", "--output", name]) == 0
    assert len(at_fault) == 1
