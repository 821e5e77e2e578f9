"""The model as it was trained."""

from __future__ import annotations

from pathlib import Path

from kit.graph import unchanged
from kit.types import Model


class Fp32:
    """Changes nothing."""

    name = "fp32"
    tools = ()

    def apply(self, model: Model, folder: Path) -> Model:
        """Return the model."""
        return unchanged(model, folder)


MEMBER = Fp32()
