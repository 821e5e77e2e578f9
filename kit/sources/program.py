"""A program of ``torch.export``, saved by ``torch.export.save``: a ``.pt2`` file."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.errors import CheckpointError, ExportError
from kit.sources import _export
from kit.sources._kind import File
from kit.sources.interface import Live, Loaded, Reference

_ONLY_TENSORS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_ANYTHING = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


class Program(File):
    """Converts the program as it is: the sizes that it was exported with are those that it takes."""

    name = "program"
    tools = ("torch", "onnxscript", "onnx", "onnxruntime")
    needs_shape = False

    def load(
        self,
        source: str,
        folder: Path,
        input_shape: tuple[int, ...] | None,  # noqa: ARG002
        weights: str | None = None,  # noqa: ARG002
    ) -> Loaded:
        """Convert into ``folder``; ``reference`` runs the program itself."""
        digest = self.fingerprint(source)
        network = _read(source)
        proto, notes = _export.export(network)
        model = _export.finish(proto, folder, Path(source).name, notes)
        run = _export.reference(network.module.module(), network.inputs, network.outputs, source)
        return Loaded(model=model, digest=digest, reference=run)

    def reference(self, source: str, input_shape: tuple[int, ...] | None) -> Reference | None:  # noqa: ARG002
        """Return what loads the program when it is first called, and runs it."""

        def make() -> Reference:
            network = _read(source)
            return _export.reference(network.module.module(), network.inputs, network.outputs, source)

        return _export.later(make)

    def live(
        self,
        source: str,
        input_shape: tuple[int, ...] | None,  # noqa: ARG002
        weights: str | None = None,  # noqa: ARG002
    ) -> Live:
        """Return the program with its modules as they were nested before it was exported."""
        network = _read(source)
        import torch

        with _export.quiet():
            return _export.live(replace(network, module=torch.export.unflatten(network.module)))


def _read(source: str) -> _export.Network:
    """Load the program and find names for what it takes and gives. Raises ``CheckpointError`` and ``ExportError``."""
    _export.require_torch(source)
    import torch

    name = Path(source).name
    try:
        with _export.quiet(), _tensors_only():
            program: Any = torch.export.load(source)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise CheckpointError(
            f"{name} holds more than tensors ({found[1] if found else _export.shortened(error)}), and loading it would "
            "run code from the file; save it without custom objects, or give an .onnx file"
        ) from error
    except Exception as error:  # what it raises of damaged and of newer files is anything
        raise ExportError(
            f"torch {torch.__version__} cannot load {name}: {_export.shortened(error)}; such files are read by the "
            "version of torch that wrote them: install that, or save it again"
        ) from error
    inputs = tuple(str(n) for n in program.graph_signature.user_inputs)
    given = tuple(str(n) for n in program.graph_signature.user_outputs)
    values: tuple[torch.Tensor, ...] = _export.as_tuple((program.example_inputs or ((), {}))[0])
    return _export.Network(
        module=program,
        examples=values,
        inputs=("images",) if len(inputs) == 1 else inputs,
        outputs=tuple(f"output{index}" for index in range(len(given))),
        source=source,
        is_program=True,
    )


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Let PyTorch unpickle nothing but tensors, also where it asks for more itself.

    ``torch.export.load`` reads examples and constants without restriction (torch/export/pt2_archive/_package.py); the
    variable is above that: https://docs.pytorch.org/docs/stable/notes/serialization.html#environment-variables
    """
    before = {name: os.environ.pop(name, None) for name in (_ONLY_TENSORS, _ANYTHING)}
    os.environ[_ONLY_TENSORS] = "1"
    try:
        yield
    finally:
        del os.environ[_ONLY_TENSORS]
        os.environ.update({name: value for name, value in before.items() if value is not None})


MEMBER = Program()
