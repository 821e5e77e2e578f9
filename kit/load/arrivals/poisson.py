"""Independent of each other: what many unrelated clients give, bursts and lulls included."""

from __future__ import annotations

import random
from collections.abc import Iterator

from kit.load.arrivals.interface import Scene


class Poisson:
    """Exponential gaps."""

    name = "poisson"
    of_cameras = False

    def points(self, scene: Scene) -> Iterator[float]:
        """Yield sums of exponential gaps with a mean of 1."""
        generator = random.Random(scene.seed)  # noqa: S311 (no secret)
        point = 0.0
        while True:
            point += generator.expovariate(1.0)
            yield point


MEMBER = Poisson()
