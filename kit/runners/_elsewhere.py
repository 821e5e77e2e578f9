"""A model that a script of ours runs in another environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit import environments
from kit.environments import ScriptError, Worker
from kit.errors import UnsupportedModelError
from kit.runners.interface import Array, Arrays, Running
from kit.types import DataType, Signature, Tensor

_TYPES = {t.numpy_name: t for t in DataType if t not in (DataType.BF16, DataType.BYTES)}


class _Loaded:
    def __init__(self, worker: Worker, told: Mapping[str, Any], library: str) -> None:
        self.signature = Signature(inputs=_tensors(told["inputs"]), outputs=_tensors(told["outputs"]))
        self._worker, self._library = worker, library

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        try:
            return self._worker.call("run", {}, feeds).arrays
        except ScriptError as error:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
            raise UnsupportedModelError(f"{self._library} does not run it with {shapes}: {error}") from error


@contextmanager
def opened(environment: str, script: Path, library: str, path: Path, **given: object) -> Iterator[Running]:
    """Let ``script`` load a model and answer. It has ``load``, which returns the signature, and ``run``.

    Raises ``UnsupportedModelError`` with the reason of ``library``, and ``ToolEnvironmentError``.
    """
    with Worker(environments.ensure(environment, _unseen), script) as worker:
        try:
            told = worker.call("load", {"path": str(path), **given}).data
        except ScriptError as error:
            raise UnsupportedModelError(f"{library} cannot read {path}: {error}") from error
        yield _Loaded(worker, told, library)


def _unseen(_: str) -> None:
    """On a terminal an installation has a bar of its own."""


def _tensors(told: list[tuple[str, str, list[int]]]) -> tuple[Tensor, ...]:
    """Return what a script tells: name, numpy's name of the type, shape with -1 for a variable size."""
    unknown = [kind for _, kind, _ in told if kind not in _TYPES]
    if unknown:
        raise UnsupportedModelError(f"a tensor is of type {unknown[0]}, which is not sent")
    return tuple(Tensor(name=name, dtype=_TYPES[kind], shape=tuple(shape)) for name, kind, shape in told)
