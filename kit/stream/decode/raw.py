"""Tensors as they are: for whoever knows better."""

from __future__ import annotations

from kit.stream.decode.interface import Arrays, Reading, Recognition, Shown
from kit.stream.results import Tensors


class Raw:
    """Takes any outputs and changes nothing."""

    name = "raw"
    task = "raw"
    rank = 100

    def recognise(self, shown: Shown) -> Recognition:  # noqa: ARG002
        """Every model gives tensors."""
        return Recognition(reason="the outputs are handed on as they are")

    def expects(self, head: str | None) -> str:  # noqa: ARG002
        """Any outputs."""
        return "any outputs"

    def decode(self, arrays: Arrays, reading: Reading) -> Tensors:  # noqa: ARG002
        """Return the outputs as they are."""
        return Tensors(arrays=dict(arrays))


MEMBER = Raw()
