"""Tensors in, tensors out: the model as it is."""

from __future__ import annotations

from kit.tasks.interface import Arrays, Head
from kit.types import Certainty, Interpretation, Model, Normalization, Thresholds


class Raw:
    """Takes any model and changes nothing."""

    name = "raw"
    rank = 100
    frames = False
    normalization = Normalization()
    labelled = None
    inner = ()

    def recognise(self, model: Model) -> Head:  # noqa: ARG002
        """Every model is a function of tensors."""
        return Head(name="raw", class_count=None, reason="the outputs fit no other task", certainty=Certainty.UNSURE)

    def expects(self) -> str:
        """Any outputs."""
        return "any outputs"

    def head_graph(self, model: Model, meaning: Interpretation) -> None:  # noqa: ARG002
        """There is no post-processing."""
        return

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:  # noqa: ARG002
        """Return the outputs as they are."""
        return dict(raw)

    def thresholds(self, asked: Thresholds) -> None:  # noqa: ARG002
        """There are none."""
        return


MEMBER = Raw()
