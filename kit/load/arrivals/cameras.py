"""Several cameras of the same rate: each even but for its jitter, and none in step with another."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator

from kit.load.arrivals.interface import Scene


class Cameras:
    """Each camera starts anywhere in its period; frames come up to half of ``jitter`` periods early or late."""

    name = "cameras"
    of_cameras = True

    def points(self, scene: Scene) -> Iterator[float]:
        """Yield all cameras' frames in order; a period is as long as there are cameras."""
        return heapq.merge(*(_camera(scene, number) for number in range(scene.cameras)))


def _camera(scene: Scene, number: int) -> Iterator[float]:
    generator = random.Random(f"{scene.seed}/{number}")  # noqa: S311 (no secret)
    # Frames stay in order up to a jitter of a whole period.
    due, period = generator.uniform(0, scene.cameras), scene.cameras
    while True:
        yield max(0.0, due + (generator.random() - 0.5) * min(1.0, scene.jitter) * period)
        due += period


MEMBER = Cameras()
