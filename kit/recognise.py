"""What a model is taken for, without making anything of it: the first stages of the pipeline, for ``kit init``."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from kit import contract, loading
from kit.cache import Cache
from kit.progress import Progress
from kit.stages import Stages
from kit.types import Interpretation, Model, Spec


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """The network as its source gives it, and what its outputs were taken to mean. ``network`` is simpler."""

    model: Model
    network: Model
    meaning: Interpretation


def recognise(spec: Spec, input_shape: tuple[int, ...] | None, progress: Progress) -> Recognised:
    """Read a model and interpret it as ``kit generate`` does; what that made before is used. Raises a ``KitError``."""
    stages = Stages(cache=Cache(), progress=progress)
    with stages.cache.in_use(), tempfile.TemporaryDirectory(prefix="kit-") as scratch:
        loaded = loading.load(spec, input_shape, stages, Path(scratch), lambda: None)
        model = loading.make_batch_variable(loaded, stages).model
        network = loading.simplified(model, stages)
        return Recognised(model=model, network=network, meaning=contract.interpret(spec, network))
