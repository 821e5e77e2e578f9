"""A network of PyTorch, run as it is: ``package.module:callable``, ``timm:NAME``, a ``.pt2`` or a TorchScript file.

Behind a ``?``, what the source itself does not say: ``mynet.model:build?weights=best.safetensors&shape=3x640x640``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kit import sources
from kit.errors import UnsupportedModelError, UsageError
from kit.runners.interface import Array, Arrays, Running
from kit.sources.interface import Live
from kit.sources.interface import Torch as TorchSource
from kit.types import DataType, Signature, Tensor

if TYPE_CHECKING:
    import torch

_FORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*|timm:[\w./:-]+")
_SUFFIXES = (".pt2", ".pt", ".ts", ".torchscript")
_OPTIONS = ("weights", "shape")
_SHAPE = re.compile(r"\d+(x\d+)*")


class _Module:
    """A network with its layers open to hooks: see ``Live``."""

    def __init__(self, live: Live) -> None:
        self.live = live
        answers = live.run({name: value.numpy() for name, value in zip(live.inputs, live.examples, strict=True)})
        self.signature = Signature(
            inputs=tuple(_tensor(name, value) for name, value in zip(live.inputs, live.examples, strict=True)),
            outputs=tuple(_tensor(name, answers[name]) for name in live.outputs),
        )

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        """Run the network. Raises ``SourceImportError`` with what it raised."""
        return self.live.run(dict(feeds))


class Torch:
    """Runs the module in this process, on the CPU."""

    name = "torch"
    tools = ("torch",)

    def reads(self, reference: str) -> bool:
        """Tell whether it is a callable, a name of timm, or ends as PyTorch's files do."""
        plain = reference.partition("?")[0]
        return plain.lower().endswith(_SUFFIXES) or _FORM.fullmatch(plain) is not None

    @contextmanager
    def open(self, reference: str, *, threads: int = 0) -> Iterator[Running]:
        """Build the network and run it once. Raises a ``SourceError``, ``MissingExtraError`` and ``UsageError``."""
        plain, shape, weights = _split(reference)
        source = sources.resolve(plain)
        if not isinstance(source, TorchSource):
            kind = "is not there" if source.name == "onnx" and not Path(plain).exists() else f"is a {source.name}"
            raise UnsupportedModelError(f"{plain} {kind}, which PyTorch does not run by itself; export it to .onnx")
        if shape is not None and not source.needs_shape:
            raise UsageError(f"{plain} says itself what it takes; leave out shape=")
        if weights is not None and not source.takes_weights:
            raise UsageError(f"{plain} has its weights inside; leave out weights=")
        with _limited(threads):
            yield _Module(source.live(plain, shape, weights))


def _split(reference: str) -> tuple[str, tuple[int, ...] | None, str | None]:
    """Return the source, the shape and the weights in a reference. Raises ``UsageError``."""
    plain, _, query = reference.partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&") if part)
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise UsageError(f'"{reference}" has {unknown[0]} behind the "?"; what can stand there: {", ".join(_OPTIONS)}')
    shape = options.get("shape")
    if shape is not None and not _SHAPE.fullmatch(shape):
        raise UsageError(f'"{reference}": shape={shape} is none; the form is 3x640x640, without the batch')
    return plain, tuple(map(int, shape.split("x"))) if shape else None, options.get("weights")


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    """Give each operator so many threads; 0 leaves it to PyTorch."""
    if not threads:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tensor(name: str, value: torch.Tensor | Array) -> Tensor:
    """Describe what a network takes or gives: its first dimension is the batch, of any size."""
    kind = str(value.dtype).rpartition(".")[2]
    found = next((t for t in DataType if t not in (DataType.BF16, DataType.BYTES) and t.numpy_name == kind), None)
    if found is None:
        raise UnsupportedModelError(f"{name} is of type {kind}, which cannot be compared")
    shape = tuple(value.shape)
    return Tensor(name=name, dtype=found, shape=(-1, *shape[1:]) if shape else ())


MEMBER = Torch()
