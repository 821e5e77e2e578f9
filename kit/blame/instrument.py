"""Models whose inner tensors can be read while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

from kit.blame.layers import Network

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"
Tapping: TypeAlias = "Callable[[Mapping[str, Array]], Arrays]"


class Instrument(Protocol):
    """A model that shows its layers. ``by_module``: its layers are calls of PyTorch modules, not nodes of a graph."""

    network: Network
    by_module: bool

    def sizes(self, names: Iterable[str], feeds: Mapping[str, Array]) -> Mapping[str, int]:
        """Return about how many bytes each tensor takes with such feeds."""

    def tapping(self, names: Sequence[str]) -> AbstractContextManager[Tapping]:
        """Return a context with what runs the model and gives these tensors, and nothing else.

        Raises ``UnsupportedModelError`` where the model cannot be run so.
        """
