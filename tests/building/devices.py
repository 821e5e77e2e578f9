"""A machine that has a GPU and TensorRT, by programs that stand in for them, and models that are for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import models
import onnx
import pytest

from kit import pipeline
from kit.engines import library
from kit.environments import Environment
from kit.errors import ToolEnvironmentError
from kit.planning import Options
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "rtx", _no_environment)
        spec = Spec(source=str(path), name=name, runtime="tensorrt", thresholds=Thresholds(max_detections=20), **more)
        pipeline.generate(spec, Options(output=output, verify="none"))
    return output


def _no_environment(_: object) -> Environment:
    """An environment would be fetched for each cache; what TensorRT-RTX says has tests of its own."""
    raise ToolEnvironmentError("these tests fetch none")
