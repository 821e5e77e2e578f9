"""What an export format does with a network of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.environments import Worker

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A network to convert. ``program`` is a ``.pt2`` file of it with a batch of 1.

    ``inputs`` and ``outputs`` are names, in the order in which the network takes and gives them. ``pictures`` are those
    inputs that are images [1, C, H, W]. ``calibration`` yields what the network takes, where there are real pictures.
    """

    program: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pictures: tuple[str, ...]
    precision: str
    calibration: Callable[[], Iterator[Arrays]] | None = None


@runtime_checkable
class Exporter(Protocol):
    """Converts in an environment of its own. ``suffix`` is that of the file or folder, which a runner of ours reads.

    ``precisions`` are what it can do, the usual one first; ``calibrated`` are those that need real pictures.
    ``tolerances`` are how far answers in each may be from PyTorch's, as a share of their range; None: only told.
    ``checked`` says what the runner does; ``script`` is what runs in the environment, which has the exporter's name.
    """

    name: str
    suffix: str
    precisions: tuple[str, ...]
    calibrated: tuple[str, ...]
    tolerances: Mapping[str, float | None]
    tools: tuple[str, ...]
    checked: str
    script: Path

    def convert(self, job: Job, worker: Worker, place: Path, tell: Callable[[str], None]) -> tuple[str, ...]:
        """Write the network to ``place``; return remarks. Raises ``UnsupportedModelError``."""

    def feeds(self, job: Job, given: Arrays) -> Arrays:
        """Return what the written file takes where the network takes ``given`` (NCHW)."""
