"""The model as it was trained."""

from __future__ import annotations

from pathlib import Path

from kit.types import Model


class Fp32:
    """Changes nothing."""

    name = "fp32"
    tools = ()

    def apply(self, model: Model, folder: Path) -> Model:  # noqa: ARG002
        """Return the model."""
        return model


MEMBER = Fp32()
