"""What the served graph has answered in this run: one thread compares, another waits for what it found."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = "npt.NDArray[np.generic]"

Answer: TypeAlias = "dict[str, Array]"


class Answered:
    """ONNX Runtime's answers by batch size, with all cores, of the graph whose file has ``digest``; or none.

    Whoever computes them tells them, or closes this when there will be none.
    """

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self._told: Future[Mapping[int, Answer]] = Future()

    def tell(self, answers: Mapping[int, Answer]) -> None:
        """Let those who wait have the answers; only the first are taken."""
        if not self._told.done():
            self._told.set_result(answers)

    def close(self) -> None:
        """Let nobody wait any longer: there are no more answers than were told."""
        self.tell({})

    def give_up(self) -> None:
        """Let those who wait end, for nobody wants to know any more."""
        self._told.cancel()

    def wait(self) -> Mapping[int, Answer]:
        """Return the answers when they are there; empty where there are none.

        Raises ``concurrent.futures.CancelledError`` where nobody wants to know.
        """
        return self._told.result()
