"""What ``kit.accuracy.Verdict`` says, for policy: what is measured is a formula of the test's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drop:
    """How much was lost, known for sure."""

    point: float

    @property
    def low(self) -> float:
        return self.point


@dataclass(frozen=True)
class Verdict:
    """Whether that is held."""

    drop: Drop
    held: bool
    reasons: tuple[str, ...] = ()
