"""What a precision does to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from kit.types import Model


@runtime_checkable
class Precision(Protocol):
    """Rewrites a served model's graph (Cast, Q/DQ); its inputs and outputs keep their names and types."""

    name: str
    tools: tuple[str, ...]

    def apply(self, model: Model, folder: Path) -> Model:
        """Write the model in this precision into ``folder``. Raises a ``StageError``."""
