"""What a task knows: to recognise its outputs, to put its post-processing into the graph, to check that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.types import Certainty, Interpretation, Layout, Model, Normalization, Thresholds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"


@dataclass(frozen=True, kw_only=True)
class Head:
    """A layout of outputs that a task recognised, what it was recognised by, and how sure that is.

    ``rivals`` are what the user may pass as ``--head`` where several readings fit and answer differently: nothing is
    served until one is chosen. ``normalization`` and ``color`` are the head's own, where they are not the task's.
    ``argmax`` tells whether the best class can be served in place of the scores.
    """

    name: str
    class_count: int | None
    reason: str
    certainty: Certainty = Certainty.LIKELY
    layout: Layout | None = None
    rivals: tuple[str, ...] = ()
    normalization: Normalization | None = None
    color: str = "rgb"
    argmax: bool = False


@runtime_checkable
class Task(Protocol):
    """One meaning of a model's outputs.

    The surest recognition wins; ``rank`` decides between those that are equally sure. ``frames`` tells whether the
    served contract takes UINT8 frames. ``normalization`` is what is assumed where the user says nothing. ``labelled``
    names the output whose last dimension or values are class indices, for ``label_filename``. ``inner`` names tensors
    inside ``head_graph`` that are compared on their own, before what is decided by them: a rounding error there must
    not look like a fault.
    """

    name: str
    rank: int
    frames: bool
    normalization: Normalization
    labelled: str | None
    inner: tuple[str, ...]

    def recognise(self, model: Model) -> Head | None:
        """Return the head that the model's signature shows, or None where it is not of this task."""

    def expects(self) -> str:
        """Say in a phrase what outputs this task recognises, for messages."""

    def head_graph(self, model: Model, meaning: Interpretation) -> str | None:
        """Return the post-processing as an ONNX model in text form, or None where there is none.

        Its inputs are the model's outputs, by position, or those in ``meaning.layout``; its opset is the model's.
        """

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Do in plain numpy what ``head_graph`` does: outputs of the model to outputs of the contract.

        ``raw`` holds the model's outputs in their order, and the graph's own ``inner`` tensors by their names; those
        are used for what is decided by them, and returned as this computes them.
        """

    def thresholds(self, asked: Thresholds) -> Thresholds | None:
        """Return the thresholds that this task uses, or None."""


@runtime_checkable
class Headed(Protocol):
    """A task whose outputs come in layouts (``kit.heads``) that the user may choose from."""

    def recognise_as(self, model: Model, head: str) -> Head | None:
        """Return the head that was asked for, or None where the model's outputs cannot be it.

        Raises ``UnknownHeadError``.
        """
