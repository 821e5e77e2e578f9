"""The model as it was trained."""

from __future__ import annotations

from pathlib import Path

from kit.graph import unchanged
from kit.precision.interface import Ask, Lowered


class Fp32:
    """Changes nothing."""

    name = "fp32"
    bits = 32
    calibrated = False
    automatic = True
    tools = ()

    def apply(self, ask: Ask, folder: Path) -> Lowered:
        """Return the model."""
        return Lowered(model=unchanged(ask.model, folder))


MEMBER = Fp32()
