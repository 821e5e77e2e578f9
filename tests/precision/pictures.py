"""Pictures for tests: files of a folder, or arrays that are there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kit import inputs, targets
from kit.cache import file_digest
from kit.graph import describe, write
from kit.precision.interface import Ask
from kit.types import Interpretation, Model, Signature, Thresholds

ROOT = Path(__file__).parents[2]
CALIBRATION = ROOT / "examples" / "digits" / "calibration"

DETECTOR = Interpretation(
    task="detect", head="yolov8", contract="served", class_count=10, normalization=None, color="rgb",
    thresholds=Thresholds(), reason="",
)  # fmt: skip
NATIVE = Interpretation(
    task="raw", head="raw", contract="native", class_count=None, normalization=None, color="rgb", thresholds=None,
    reason="",
)  # fmt: skip


@dataclass(frozen=True)
class Files:
    """Every ``step``-th picture of the digits example's calibration set."""

    step: int = 8

    @property
    def paths(self) -> list[Path]:
        return sorted(CALIBRATION.glob("*.jpg"))[:: self.step]

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self.paths).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.paths)

    def feeds(self, signature: Signature, batch: int = 1) -> Iterator[dict[str, Any]]:
        tensor = signature.inputs[0]
        _, height, width, channels = tensor.shape
        for start in range(0, len(self), batch):
            pictures = [inputs.read_image(p, (height, width), channels) for p in self.paths[start : start + batch]]
            yield {tensor.name: np.stack(pictures)}


@dataclass(frozen=True)
class Values:
    """Arrays, one for each picture."""

    arrays: Sequence[Any]
    name: str = "x"

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in self.arrays)).hexdigest()

    def __len__(self) -> int:
        return len(self.arrays)

    def feeds(self, signature: Signature, batch: int = 1) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), batch):
            yield {self.name: np.concatenate(self.arrays[start : start + batch])}


def digits() -> Model:
    path = ROOT / "model_repository" / "digits" / "1" / "model.onnx"
    return describe(path, file_digest(path))


def saved(proto: Any, folder: Path) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    return describe(path, write(proto, path))


def ask(model: Model, **changed: Any) -> Ask:
    """What a CPU with VNNI is asked; ``target`` and the rest as they are changed."""
    given = {"meaning": NATIVE, "target": targets.load("x86-cpu"), "backend": "onnxruntime", **changed}
    return Ask(model=model, **given)
