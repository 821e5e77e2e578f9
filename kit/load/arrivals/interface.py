"""What a pattern of arrivals knows: when requests come, whatever becomes of those before (an open loop)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What arrivals are made from: the same gives the same.

    ``jitter`` is how far a camera's frame strays, as a share of the time between two of its frames (0 to 1).
    """

    seed: int
    cameras: int = 1
    jitter: float = 0.1


@runtime_checkable
class Arrivals(Protocol):
    """A pattern. ``of_cameras``: it is that of the scene's cameras, whose number and rate make its own."""

    name: str
    of_cameras: bool

    def points(self, scene: Scene) -> Iterator[float]:
        """Yield points for ever, none below 0 and none before the last one, with a mean distance of 1."""
