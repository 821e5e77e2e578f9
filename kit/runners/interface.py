"""How a model is asked, wherever it is: a file that a library runs here, or a server that answers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from kit.types import Signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"


class Running(Protocol):
    """A model that is loaded and answers."""

    signature: Signature

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        """Return each output by name for one batch of each input. Raises ``UnsupportedModelError``, ``ServerError``."""


@runtime_checkable
class Runner(Protocol):
    """Loads models of one kind. ``tools`` are the distributions whose versions the answers depend on."""

    name: str
    tools: tuple[str, ...]

    def reads(self, reference: str) -> bool:
        """Tell by its form alone (a file's suffix, a URL's scheme) whether a reference is of this kind."""

    def open(self, reference: str, *, threads: int = 0) -> AbstractContextManager[Running]:
        """Load a model; leaving the ``with`` block lets go of it. ``threads`` for each operator, 0 for all cores.

        Raises ``SourceNotFoundError``, ``UnsupportedModelError``, ``MissingExtraError``, ``ServerError``.
        """
