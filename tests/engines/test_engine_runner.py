"""Engines as models that answer: what can be said without a GPU; ``tests/building/test_on_a_gpu.py`` has the rest."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from kit import runners
from kit.errors import MissingExtraError, SourceNotFoundError


@pytest.mark.parametrize("name", ["1/model.t4.plan", "model.PLAN", "yolo11n.engine"])
def test_a_plan_is_read_by_tensorrt(name: str) -> None:
    assert runners.resolve(name).name == "tensorrt"


@pytest.mark.parametrize("name", ["model.plan.json", "model.onnx", "plan"])
def test_others_are_not(name: str) -> None:
    assert not runners.get("tensorrt").reads(name)


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(SourceNotFoundError, match="build it on the device: kit build REPOSITORY"),
        runners.open(str(tmp_path / "model.plan")),
    ):
        pass


def test_without_tensorrt_a_server_is_named(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("tensorrt is installed")
    (tmp_path / "model.plan").touch()
    with (
        pytest.raises(MissingExtraError, match=r"needs tensorrt, .*; or serve it and give grpc://HOST:PORT/MODEL"),
        runners.open(str(tmp_path / "model.plan")),
    ):
        pass
