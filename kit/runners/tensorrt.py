"""A TensorRT engine, run on this machine's GPU by the ``tensorrt`` of this Python.

It runs where it was built: with the same release, on a GPU of the same compute capability. What is known of it lies in
a file beside it where ``kit build`` made it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.engines import library, provenance
from kit.engines.library import Library
from kit.errors import MissingExtraError, SourceNotFoundError, StageError, UnsupportedModelError
from kit.runners.interface import Array, Arrays, Running
from kit.types import DataType, Signature, Tensor

_TYPES = {dtype.numpy_name: dtype for dtype in DataType if dtype is not DataType.BF16} | {"bool": DataType.BOOL}


class _Loaded:
    def __init__(self, tensorrt: Library, given: Mapping[str, Any]) -> None:
        told = tensorrt.call("signature", given).data
        self.signature = Signature(inputs=_tensors(told["inputs"]), outputs=_tensors(told["outputs"]))
        self._tensorrt = tensorrt
        self._given = given

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        try:
            return self._tensorrt.call("answer", self._given, feeds).arrays
        except StageError as error:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
            raise UnsupportedModelError(f"the engine does not run with {shapes}: {error}") from error


class TensorRt:
    """Runs what Triton's TensorRT backend serves."""

    name = "tensorrt"
    tools = ()

    def reads(self, reference: str) -> bool:
        """Tell whether it is a path that ends in ``.plan`` or ``.engine``."""
        return reference.lower().endswith((".plan", ".engine"))

    @contextmanager
    def open(self, reference: str, *, threads: int = 0) -> Iterator[Running]:  # noqa: ARG002 (the GPU has its own)
        """Load the engine. Raises ``SourceNotFoundError``, ``MissingExtraError`` and ``UnsupportedModelError``."""
        path = Path(reference)
        if not path.is_file():
            raise SourceNotFoundError(f"{reference} is not there; build it on the device: kit build REPOSITORY")
        if importlib.util.find_spec("tensorrt") is None:
            raise MissingExtraError(
                "tensorrt", None, "running an engine", "serve it and give grpc://HOST:PORT/MODEL in its place"
            )
        known = provenance.read(path)
        given = {
            "module": "tensorrt",
            "plan": str(path),
            "dla_core": known.dla_core if known else None,
            "version_compatible": known is not None and known.version_compatible,
        }
        with library.running(library.own()) as tensorrt:
            try:
                loaded = _Loaded(tensorrt, given)
            except StageError as error:
                raise UnsupportedModelError(f"TensorRT cannot load {path}: {error}") from error
            yield loaded


def _tensors(told: list[tuple[str, str, list[int]]]) -> tuple[Tensor, ...]:
    return tuple(Tensor(name=name, dtype=_TYPES[kind], shape=tuple(shape)) for name, kind, shape in told)


MEMBER = TensorRt()
