"""What a head knows: to recognise a detector's raw outputs, and to turn them into corners, scores and classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.evidence import Evidence
from kit.types import Certainty, Interpretation, Layout, Model, Normalization

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a head makes of a model's outputs, and how sure that is: see ``kit.tasks.interface.Head``."""

    layout: Layout
    class_count: int | None
    certainty: Certainty
    reason: str
    rivals: tuple[str, ...] = ()
    normalization: Normalization | None = None
    color: str = "rgb"


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Outputs decoded, for N frames with A anchors, in numpy.

    corners     [N, A, 4]  FP32   x1, y1, x2, y2 in pixels of the frame
    best        [N, A]     FP32   the probability of the best class
    best_class  [N, A]     INT64
    extras      [N, A, E]  FP32   E numbers more of each anchor: mask coefficients or keypoints; None for none
    """

    corners: Array
    best: Array
    best_class: Array
    extras: Array | None = None


@runtime_checkable
class DetectorHead(Protocol):
    """One layout of a detector's outputs.

    ``suppress`` tells whether boxes of one object are many, so that NMS chooses. ``words`` are groups of variations,
    of which each has one: ``--head NAME,WORD`` says which.
    """

    name: str
    suppress: bool
    words: tuple[tuple[str, ...], ...]

    def recognise(self, seen: Evidence, asked: tuple[str, ...] | None) -> Reading | None:
        """Return what the outputs are read as, or None where they are not of this head.

        ``asked`` are the words of a user who names this head: then only the shapes must fit.
        """

    def anchor_axis(self, layout: Layout) -> int:
        """Return the dimension of the first output read that counts boxes."""

    def expects(self) -> str:
        """Say in a phrase what outputs this head has, for messages."""

    def graph(self, model: Model, meaning: Interpretation) -> str:
        """Return statements of an ONNX graph in text form, opset 13 or newer.

        They turn ``raw0``, ``raw1`` ... (the outputs in ``meaning.layout``, FP32) into ``corners``, ``best``,
        ``best_class`` and, where the layout has some, ``extras``: as ``Decoded`` has them.
        """

    def decode(self, raw: tuple[Array, ...], meaning: Interpretation) -> Decoded:
        """Do in plain numpy what ``graph`` does."""
