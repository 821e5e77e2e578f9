"""TensorRT engines are held to what is to serve them before a server starts: it would say so only in its log."""

from __future__ import annotations

import shlex
from pathlib import Path

from kit.engines import gpus, provenance
from kit.engines.provenance import Wanted
from kit.server.models import ServedModel
from kit.targets.values import Target

_BACKEND = "tensorrt"


def require(repository: Path, served: tuple[ServedModel, ...], target: Target) -> None:
    """Refuse engines that are missing, or of another model, release or GPU. Those of other makers are let pass.

    Raises ``EngineMismatchError``, which says what to type.
    """
    ours = [model for model in served if model.backend == _BACKEND and model.digest is not None]
    gpu = gpus.found() if ours else None
    for model in ours:
        wanted = Wanted(
            model=model.name,
            target=target.name,
            tensorrt=target.stack.tensorrt_version,
            onnx=model.digest,
            max_batch_size=model.max_batch_size,
            gpu=gpu,
            remedy=f"run here: kit build {shlex.quote(str(repository))} --target {target.name}",
        )
        provenance.require(repository / model.name / str(model.version) / model.filename, wanted)


def version_compatible(repository: Path, served: tuple[ServedModel, ...]) -> bool:
    """Tell whether an engine is version-compatible: Triton loads such only where it is told to trust them."""
    plans = (repository / m.name / str(m.version) / m.filename for m in served if m.backend == _BACKEND)
    return any(made is not None and made.version_compatible for made in map(provenance.read, plans))
