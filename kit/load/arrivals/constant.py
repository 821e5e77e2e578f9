"""Evenly spaced: what a metronome gives, and the kindest load that there is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from kit.load.arrivals.interface import Scene


class Constant:
    """One after another."""

    name = "constant"
    of_cameras = False

    def points(self, scene: Scene) -> Iterator[float]:  # noqa: ARG002 (it takes nothing from it)
        """Yield 0, 1, 2 ..."""
        return map(float, itertools.count())


MEMBER = Constant()
