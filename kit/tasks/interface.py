"""What a task knows: to recognise its outputs, to put its post-processing into the graph, to check that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.types import Interpretation, Model, Normalization, Thresholds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"


@dataclass(frozen=True, kw_only=True)
class Head:
    """A layout of outputs that a task recognised, and what it was recognised by."""

    name: str
    class_count: int | None
    reason: str


@runtime_checkable
class Task(Protocol):
    """One meaning of a model's outputs.

    ``rank`` orders recognition. ``frames`` tells whether the served contract takes UINT8 frames.
    ``normalization`` is what is assumed where the user says nothing. ``labelled`` names the output whose
    last dimension or values are class indices, for ``label_filename``.
    """

    name: str
    rank: int
    frames: bool
    normalization: Normalization
    labelled: str | None

    def recognise(self, model: Model) -> Head | None:
        """Return the head that the model's signature shows, or None where it is not of this task."""

    def expects(self) -> str:
        """Say in a phrase what outputs this task recognises, for messages."""

    def head_graph(self, model: Model, meaning: Interpretation) -> str | None:
        """Return the post-processing as an ONNX model in text form, or None where there is none.

        Its inputs are the model's outputs, by position; its opset is the model's.
        """

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Do in plain numpy what ``head_graph`` does: outputs of the model to outputs of the contract."""

    def thresholds(self, asked: Thresholds) -> Thresholds | None:
        """Return the thresholds that this task uses, or None."""
