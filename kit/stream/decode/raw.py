"""Tensors as they are: for whoever knows better."""

from __future__ import annotations

from kit.stream.decode.interface import Arrays, Reading, Shown
from kit.stream.results import Tensors
from kit.types import Normalization


class Raw:
    """Takes any outputs and changes nothing."""

    name = "raw"
    task = "raw"
    rank = 100
    normalization = Normalization()

    def recognise(self, shown: Shown) -> str:  # noqa: ARG002
        """Every model gives tensors."""
        return "the outputs are handed on as they are"

    def expects(self) -> str:
        """Any outputs."""
        return "any outputs"

    def decode(self, arrays: Arrays, reading: Reading) -> Tensors:  # noqa: ARG002
        """Return the outputs as they are."""
        return Tensors(arrays=dict(arrays))


MEMBER = Raw()
