"""A machine that has a GPU and TensorRT, by programs that stand in for them, and a repository that is for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import models
import networks
import onnx
import pytest

from kit import pipeline
from kit.types import Spec, Thresholds

STANDIN = Path(__file__).with_name("trtexec_standin.py")


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nvidia-smi on PATH; returns the folder for more programs."""
    folder = tmp_path / "bin"
    program(folder, "nvidia-smi", "#!/bin/sh\necho 'Tesla T4, 7.5, 580.65.06'\n")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def trtexec(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """trtexec on PATH, of the release that t4 serves with."""
    monkeypatch.setenv("STANDIN_TENSORRT", "11.1.0")
    return program(gpu, "trtexec", f'#!/bin/sh\nexec {sys.executable} {STANDIN} "$@"\n')


def generate(proto: onnx.ModelProto, output: Path, *, name: str = "detector", **more: object) -> Path:
    """Publish a model for t4 by TensorRT; no server is asked."""
    path = models.save(proto, output.parent / f"{name}.onnx")
    more.setdefault("targets", ("t4",))
    spec = Spec(source=str(path), name=name, runtime="tensorrt", thresholds=Thresholds(max_detections=20), **more)  # type: ignore[arg-type]
    pipeline.generate(spec, pipeline.Options(output=output, verify="none"))
    return output


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    proto = networks.yolov8(metadata=networks.ultralytics("detect", 5))
    return generate(proto, tmp_path / "repository", max_batch_size=4)
