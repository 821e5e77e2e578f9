"""A machine that has a GPU and TensorRT, by programs that stand in for them, and a repository that is for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import models
import networks
import onnx
import pytest

import kit.cli
from kit import pipeline
from kit.types import Spec, Thresholds

STANDIN = Path(__file__).with_name("trtexec_standin.py")


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def with_gpu(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put nvidia-smi on PATH, in ``folder``, where more programs may go."""
    program(folder, "nvidia-smi", "#!/bin/sh\necho 'Tesla T4, 7.5, 580.65.06'\n")
    patch.setenv("PATH", str(folder), prepend=os.pathsep)


def with_trtexec(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put a trtexec of the release that t4 serves with on PATH."""
    with_gpu(folder, patch)
    patch.setenv("STANDIN_TENSORRT", "11.1.0")
    program(folder, "trtexec", f'#!/bin/sh\nexec {sys.executable} {STANDIN} "$@"\n')


def generate(proto: onnx.ModelProto, output: Path, *, name: str = "detector", **more: Any) -> Path:
    """Publish a model for t4 by TensorRT; no server is asked."""
    path = models.save(proto, output.parent / f"{name}.onnx")
    more.setdefault("targets", ("t4",))
    spec = Spec(source=str(path), name=name, runtime="tensorrt", thresholds=Thresholds(max_detections=20), **more)
    pipeline.generate(spec, pipeline.Options(output=output, verify="none"))
    return output


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
