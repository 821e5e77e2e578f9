"""What a runtime does with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from kit.targets.values import Target
from kit.types import Artifact, Model


@runtime_checkable
class Runtime(Protocol):
    """Makes the file that one Triton backend loads. ``name`` is the backend's, ``title`` its library's own.

    Where files differ from target to target (engines), ``build`` names them after the target:
    ``model.<target>.plan``. Equal artifacts of several targets are stored once.
    """

    name: str
    title: str
    tools: tuple[str, ...]

    def build(self, model: Model, target: Target, folder: Path) -> Artifact:
        """Write the artifact into ``folder``. Raises a ``StageError`` or ``UnsupportedModelError``."""
