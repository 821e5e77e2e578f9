"""OpenVINO's IR, run by OpenVINO on the CPU, in its own environment.

``model.xml`` is computed as Triton's backend computes it: in BF16 where the processor has instructions for that, which
is OpenVINO's choice and cannot be turned off there. ``model.xml@f32`` is computed in FP32 everywhere, and
``model.xml@dynamic`` with sizes left variable, as the backend does where ``max_batch_size`` is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit import environments
from kit.environments import ScriptError, Worker
from kit.errors import SourceNotFoundError, UnsupportedModelError
from kit.runners.interface import Array, Arrays, Running
from kit.types import DataType, Signature, Tensor

_SCRIPT = Path(__file__).with_name("_openvino_script.py")
_EXACT, _DYNAMIC = "f32", "dynamic"
_TYPES = {"boolean": DataType.BOOL, "f16": DataType.FP16, "f32": DataType.FP32, "f64": DataType.FP64} | {
    f"{short}{bits}": DataType(f"{word}{bits}")
    for short, word in (("u", "UINT"), ("i", "INT"))
    for bits in (8, 16, 32, 64)
}


class _Loaded:
    def __init__(self, worker: Worker, told: Mapping[str, Any]) -> None:
        self._worker = worker
        self.signature = Signature(inputs=_tensors(told["inputs"]), outputs=_tensors(told["outputs"]))

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        try:
            return self._worker.call("run", {}, feeds).arrays
        except ScriptError as error:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
            raise UnsupportedModelError(f"the model does not run with {shapes} in OpenVINO: {error}") from error


class OpenVino:
    """Runs what Triton's OpenVINO backend serves."""

    name = "openvino"
    tools = ("openvino/openvino",)

    def reads(self, reference: str) -> bool:
        """Tell whether it is a path that ends in ``.xml``, ``.xml@f32`` or ``.xml@dynamic``."""
        path, *options = reference.split("@")
        return path.lower().endswith(".xml") and set(options) <= {_EXACT, _DYNAMIC}

    @contextmanager
    def open(self, reference: str, *, threads: int = 0) -> Iterator[Running]:
        """Open the file. Raises ``SourceNotFoundError``, ``UnsupportedModelError`` and ``ToolEnvironmentError``."""
        name, *options = reference.split("@")
        path = Path(name)
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file():
                raise SourceNotFoundError(f"{file} is not there; give the path of an .xml file with its .bin beside it")
        given = {
            "path": str(path),
            "threads": threads,
            "precision": _EXACT if _EXACT in options else "",
            "dynamic": _DYNAMIC in options,
        }
        with Worker(environments.ensure(self.name, lambda _: None), _SCRIPT) as worker:
            try:
                told = worker.call("load", given).data
            except ScriptError as error:
                raise UnsupportedModelError(f"OpenVINO cannot read {path}: {error}") from error
            yield _Loaded(worker, told)


def _tensors(told: list[tuple[str, str, list[int]]]) -> tuple[Tensor, ...]:
    return tuple(Tensor(name=name, dtype=_TYPES[kind], shape=tuple(shape)) for name, kind, shape in told)


MEMBER = OpenVino()
