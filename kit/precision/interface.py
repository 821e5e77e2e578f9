"""What a precision does to a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.targets.values import Target
from kit.types import Interpretation, Model, Signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"


TRAINED_BITS = 32
"""Of the numbers that networks are trained in: a precision of fewer is a lower one."""


class Pictures(Protocol):
    """Real pictures, as a served model takes them. ``digest`` covers all that ``feeds`` depends on."""

    @property
    def digest(self) -> str:
        """Return the sha256 of what there is, in hex."""

    def __len__(self) -> int:
        """Return how many there are."""

    def feeds(self, signature: Signature, batch: int = 1) -> Iterator[Arrays]:
        """Yield all of them, ``batch`` at a time, by input name, read while they are asked for."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A served model that is wanted in another precision, and what is known to do it well.

    ``backend`` is Triton's, which will run it on ``target``: what is quantised, and how, is that backend's choice.
    ``held_out`` are pictures that are not among those of ``calibration``. ``reverted`` names groups that stay as they
    are: see ``Group``.
    """

    model: Model
    meaning: Interpretation
    target: Target
    backend: str
    calibration: Pictures | None = None
    held_out: Pictures | None = None
    reverted: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Group:
    """Nodes that change their precision together.

    ``name`` is the same whatever else is reverted. ``module`` is the path of the PyTorch module that they came from
    (``backbone.stages.0.1``), as far as the names of the weights tell; else that of the first node.
    """

    name: str
    nodes: tuple[str, ...]
    module: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Nodes that stay in their precision, and why: one phrase for the user."""

    reason: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """A model in another precision: the ONNX with Cast or Q/DQ in it, and what was done.

    ``method`` says how in a few words (``percentile 99.99, best of 4``). ``groups`` are all that could be reverted,
    the reverted ones too.
    """

    model: Model
    method: str = ""
    groups: tuple[Group, ...] = ()
    kept: tuple[Kept, ...] = ()


@runtime_checkable
class Precision(Protocol):
    """Rewrites a served model's graph (Cast, Q/DQ); its inputs and outputs keep their names and types.

    ``bits`` of its numbers: fewer are smaller. ``calibrated``: whether it cannot be had without real pictures.
    ``automatic``: whether it is tried where the lowest that holds its budget is asked for; else only by its name.
    """

    name: str
    bits: int
    calibrated: bool
    automatic: bool
    tools: tuple[str, ...]

    def apply(self, ask: Ask, folder: Path) -> Lowered:
        """Write the model in this precision into ``folder``.

        Raises ``QuantizationError`` and ``UnsupportedModelError``.
        """
