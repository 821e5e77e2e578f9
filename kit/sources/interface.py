"""What a source of models does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from kit.types import Model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"
Reference: TypeAlias = "Callable[[Arrays], Arrays]"
"""Runs the source model itself: input name -> array to output name -> array."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model as ONNX. ``reference`` runs the original where that is not ONNX.

    ``digest`` is that of what was read, in one go: the manifest names what is served, whatever changes meanwhile.
    """

    model: Model
    digest: str
    reference: Reference | None = None


@dataclass(frozen=True, kw_only=True)
class Live:
    """A network of PyTorch as it is, without being exported: ``run`` answers, ``module`` can be hooked into.

    ``examples`` are inputs of batch 1; ``inputs`` and ``outputs`` are the names that an export gives to what it takes
    and gives.
    """

    module: Any
    examples: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Reference


@runtime_checkable
class Torch(Protocol):
    """A source whose network PyTorch runs."""

    def live(self, source: str, input_shape: tuple[int, ...] | None, weights: str | None = None) -> Live:
        """Return the network with its weights. Raises a ``SourceError``, ``MissingExtraError`` and ``UsageError``."""


@runtime_checkable
class Source(Protocol):
    """A kind of source. ``tools`` are the distributions whose versions its result depends on.

    ``needs_shape`` tells whether the user may say what the model takes, ``takes_weights`` whether weights may be given;
    ``elsewhere`` whether another process does the work of ``load``.
    """

    name: str
    tools: tuple[str, ...]
    needs_shape: bool
    takes_weights: bool
    elsewhere: bool

    def origin(self, source: str) -> str:
        """Return what the manifest says of the place; no path of this machine is in it."""

    def model_name(self, source: str) -> str:
        """Return a name for the model when the user gave none; may be unfit for Triton."""

    def claims(self, source: str) -> bool:
        """Tell whether ``source`` is of this kind, by its form and by what is on disk; imports nothing."""

    def fingerprint(self, source: str) -> str | None:
        """Return a digest that changes whenever the model does, or None where only loading can tell.

        Raises ``SourceNotFoundError``.
        """

    def load(
        self, source: str, folder: Path, input_shape: tuple[int, ...] | None, weights: str | None = None
    ) -> Loaded:
        """Write the model as one self-contained ONNX file into ``folder`` and describe it.

        ``input_shape`` is the shape of the input without its batch dimension, for sources that do not
        know it; ``weights`` a file, for sources that take one. Raises a ``SourceError``.
        """

    def reference(self, source: str, input_shape: tuple[int, ...] | None) -> Reference | None:
        """Return what runs the source itself when it is first called, where a fingerprint spared loading it."""
