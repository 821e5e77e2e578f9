"""What builds an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.engines.provenance import Gpu, Timing
from kit.engines.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where one build works: ``onnx`` and ``plan`` lie in ``folder``, ``timing_cache`` in one that stays.

    ``image`` takes the place of the target's, for a builder that runs a container.
    """

    folder: Path
    onnx: Path
    plan: Path
    timing_cache: Path
    image: str | None = None


@dataclass(frozen=True, kw_only=True)
class Built:
    """What was seen while an engine was built and asked. ``answers`` are by batch size, then by output."""

    tensorrt: str
    gpu: Gpu
    image: str | None
    arguments: tuple[str, ...]
    seconds: float
    timings: tuple[Timing, ...]
    answers: Mapping[int, Arrays] = field(default_factory=dict)


@runtime_checkable
class Builder(Protocol):
    """Builds an engine on this machine's GPU, times it and asks it."""

    name: str

    def unavailable(self, recipe: Recipe) -> str | None:
        """Return why it cannot build this here, or None. Quick, and builds nothing."""

    def commands(self, recipe: Recipe, files: Files) -> tuple[tuple[str, ...], ...]:
        """Return the command lines that ``build`` runs, without running any."""

    def build(self, recipe: Recipe, files: Files, samples: Mapping[int, Arrays]) -> Built:
        """Write the engine to ``files.plan``; answer ``samples``, which are by batch size, then by input.

        Raises ``EngineBuildError``, ``OutOfMemoryError``. An interruption leaves nothing that runs.
        """
