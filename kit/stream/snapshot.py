"""What can be told of a run at one moment: for tables, metrics and pages. Times are in s or ms, as their names say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kit.stream.accounting import Totals

BOUNDS_MS = (5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000)
"""Upper bounds of the histograms' buckets, after which comes infinity."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a time was distributed: percentiles of the newest values, buckets (not cumulative) and sum of all."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    buckets: tuple[int, ...]
    """One more than ``BOUNDS_MS``."""
    sum_ms: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.buckets)


@dataclass(frozen=True, kw_only=True)
class CameraView:
    """One camera."""

    camera: str
    model: str
    version: str
    """Of the newest result; empty before the first."""
    connected: bool
    ended: bool
    reason: str
    """Why it is not connected."""
    captured_fps: float
    inferred_fps: float
    totals: Totals
    age: Spread | None
    """From the decoder to the emission of the result."""
    answer: Spread | None
    """From sending the request to its answer."""
    in_flight: int
    reconnects: int
    errors: int
    """Frames that were lost to the server or to the decoder, and not to the lack of time."""
    newest_s: float | None
    """Age of the newest picture."""
    found: str
    """What the newest result holds, in a few words."""


@dataclass(frozen=True, kw_only=True)
class SinkView:
    """One sink: results that it took, that it was too slow or too broken for, and how often it failed."""

    name: str
    taken: int
    missed: int
    errors: int
    left_out: bool
    """Whether it is not asked any more."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything."""

    seconds: float
    """Since the start."""
    cameras: tuple[CameraView, ...]
    sinks: tuple[SinkView, ...]
    wires: Mapping[str, str]
    """How frames travel, by model; empty before the first result."""
