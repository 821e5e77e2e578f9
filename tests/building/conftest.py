"""A repository that is for TensorRT, with its engine and without, and devices to build on."""

from __future__ import annotations

import shutil
from pathlib import Path

import networks
import pytest
from devices import generate, with_gpu, with_trtexec

import kit.cli


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a GPU; returns the folder of its programs."""
    with_gpu(tmp_path / "bin", monkeypatch)
    return tmp_path / "bin"


@pytest.fixture
def trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a GPU and trtexec; returns the folder of its programs."""
    with_trtexec(tmp_path / "bin", monkeypatch)
    return tmp_path / "bin"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A repository as it is generated, and as it is with its engine; each test has a copy."""
    folder = tmp_path_factory.mktemp("made")
    proto = networks.yolov8(metadata=networks.ultralytics("detect", 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE_DIR", str(folder / "cache"))
        generated = generate(proto, folder / "generated", max_batch_size=4)
        with_trtexec(folder / "bin", patch)
        built = folder / "built"
        shutil.copytree(generated, built)
        assert kit.cli.run(["build", str(built), "--quiet"]) == 0
    return {"generated": generated, "built": built}


@pytest.fixture
def repository(made: dict[str, Path], tmp_path: Path) -> Path:
    """A repository whose model has no engine yet."""
    shutil.copytree(made["generated"], tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def built(made: dict[str, Path], tmp_path: Path) -> Path:
    """A repository whose model has one."""
    shutil.copytree(made["built"], tmp_path / "repository")
    return tmp_path / "repository"
