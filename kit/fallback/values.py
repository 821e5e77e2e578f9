"""What the search for layers to leave as they were asks, is told, and finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kit.precision.interface import Group, Lowered
from kit.types import Model

_SAME_DROP = 1e-4
"""A hundredth of a point: a drop that grew by less is no worse."""


class Interval(Protocol):
    """A measured number with its bounds: ``kit.accuracy``'s."""

    @property
    def point(self) -> float:
        """Return the number itself."""

    @property
    def low(self) -> float:
        """Return what it is at least, but for chance."""


class Judgement(Protocol):
    """What is asked of a verdict: ``kit.accuracy.Verdict`` has it."""

    @property
    def held(self) -> bool:
        """Return whether every budget holds."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why not, a sentence each."""

    @property
    def drop(self) -> Interval:
        """Return what was lost of the metric."""


Make = Callable[[frozenset[str]], Lowered]
"""Lowers a model but for the groups of these names. It is called often with the same: it should keep its results."""

Judge = Callable[[Model], Judgement]
Distance = Callable[[Model], float]
"""How far a model's answers are from those of the original on a few pictures; 0 is the same."""

Latency = Callable[[Model], float]
"""A model's time by that of the original: below 1 is faster."""


Unit = frozenset[str]
"""Groups that are reverted together."""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a look inside a lowered model tells: ``kit.blame.sensitivity`` has it.

    ``noise`` is each group's own SQNR in dB. ``readers`` are the groups that read what a group gives: between two that
    are lowered there is one quantised tensor, which stays where only one of them is reverted. ``costs`` is about how
    much longer the model takes with a group reverted, in parts of the original's time; where it is empty, it is timed.
    """

    noise: Mapping[str, float] = field(default_factory=dict)
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to give up. ``slowest`` is the latency's ratio at which a lower precision is no longer worth it.

    ``judgements`` bounds how many models are judged, ``trials`` how many of the noisiest groups are tried alone.
    ``allowed`` is what of the metric may be lost: what surely loses more on a part of the pictures is not shown all.
    """

    slowest: float | None = None
    allowed: float = 0.01
    judgements: int = 40
    trials: int = 24


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A verdict in short; ``latency`` is the ratio to the original, None where it was not measured.

    ``glimpse`` is the drop on a part of the pictures; with ``whole=False`` the verdict is on that part alone.
    """

    held: bool
    drop: float
    reasons: tuple[str, ...] = ()
    latency: float | None = None
    glimpse: float | None = None
    whole: bool = True

    def worse_than(self, other: Outcome) -> bool:
        """Tell whether more was lost, on the same pictures."""
        if (self.whole and other.whole) or self.glimpse is None or other.glimpse is None:
            return self.drop > other.drop + _SAME_DROP
        return self.glimpse > other.glimpse + _SAME_DROP


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that was judged: the groups that were reverted, what came of it, and whether it was built on."""

    reverted: tuple[str, ...]
    outcome: Outcome
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where the search ended. ``lowered`` is the model that holds, else the best that there was.

    ``reverted`` are the groups that stay as they were, ``modules`` the same as PyTorch calls them, whole modules where
    all of them are. ``why`` says in a sentence how it ended.
    """

    lowered: Lowered
    held: bool
    reverted: tuple[Group, ...]
    modules: tuple[str, ...]
    steps: tuple[Step, ...]
    why: str
