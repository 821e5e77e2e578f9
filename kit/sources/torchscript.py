"""A TorchScript archive, saved by ``torch.jit.save``: ``.pt``, ``.ts`` or ``.torchscript``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import ExportError, UsageError
from kit.sources import _export, _kinds
from kit.sources._kind import File
from kit.sources.interface import Live, Loaded, Reference

_EXTRA = "config.txt"
"""Where Ultralytics keeps class names and image size, as JSON."""

_KEPT = ("names", "task", "stride", "imgsz", "description")


class TorchScript(File):
    """Exports by the older exporter, the one that reads TorchScript."""

    name = "torchscript"
    tools = ("torch", "onnx", "onnxruntime")
    needs_shape = True

    def load(
        self,
        source: str,
        folder: Path,
        input_shape: tuple[int, ...] | None,
        weights: str | None = None,  # noqa: ARG002
    ) -> Loaded:
        """Export into ``folder``; ``reference`` runs the archive itself."""
        digest = self.fingerprint(source)
        network, metadata = _read(source, input_shape)
        model = _export.finish(_export.by_trace(network), folder, Path(source).name, (), metadata)
        run = _export.reference(network.module, network.inputs, network.outputs, source)
        return Loaded(model=model, digest=digest, reference=run)

    def reference(self, source: str, input_shape: tuple[int, ...] | None) -> Reference | None:
        """Return what loads the archive when it is first called, and runs it."""

        def make() -> Reference:
            network, _ = _read(source, input_shape)
            return _export.reference(network.module, network.inputs, network.outputs, source)

        return _export.later(make)

    def live(
        self,
        source: str,
        input_shape: tuple[int, ...] | None,
        weights: str | None = None,  # noqa: ARG002
    ) -> Live:
        """Return the archive as it is."""
        return _export.live(_read(source, input_shape)[0])


def _read(source: str, shape: tuple[int, ...] | None) -> tuple[_export.Network, Mapping[str, str]]:
    """Load the archive and run it once. Raises ``ExportError``, ``UsageError`` and ``SourceImportError``."""
    _export.require_torch(source)
    import torch

    extra = {_EXTRA: ""}
    try:
        with _export.quiet():
            module: Any = torch.jit.load(source, map_location="cpu", _extra_files=extra).eval()
    except (RuntimeError, ValueError) as error:
        raise ExportError(
            f"torch {torch.__version__} cannot load {Path(source).name}: {_export.shortened(error)}; save it again"
        ) from error
    metadata = _metadata(extra[_EXTRA])
    examples = _examples(Path(source), shape, metadata)
    names = tuple(value.debugName().split(".")[0] for value in list(module.graph.inputs())[1:])
    with _export.no_surprises(source), torch.no_grad(), _export.quiet():
        outputs = _export.output_names(module(*examples), (), source)
    inputs = ("images",) if len(examples) == 1 else names[: len(examples)]
    network = _export.Network(module=module, examples=examples, inputs=inputs, outputs=outputs, source=source)
    return network, metadata


def _examples(path: Path, shape: tuple[int, ...] | None, metadata: Mapping[str, str]) -> tuple[Any, ...]:
    """Return inputs of batch 1: as the user says, else as the archive remembers what it was traced with."""
    import torch

    generator = torch.Generator().manual_seed(0)
    if shape is None and (size := _image_size(metadata)):
        shape = (3, *size)
    if shape is not None:
        return (torch.rand((1, *shape), generator=generator),)
    if traced := _kinds.traced_shapes(path):
        return tuple(torch.rand((1, *one[1:]), generator=generator) for one in traced)
    raise UsageError(f"{path.name} does not say what it takes; give --input-shape 3x640x640")


def _metadata(text: str | bytes) -> Mapping[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {key: str(found[key]) for key in _KEPT if key in found} if isinstance(found, dict) else {}


def _image_size(metadata: Mapping[str, str]) -> tuple[int, ...]:
    try:
        size = json.loads(metadata.get("imgsz", ""))
    except ValueError:
        return ()
    return tuple(size) if isinstance(size, list) and len(size) == 2 and all(isinstance(s, int) for s in size) else ()


MEMBER = TorchScript()
