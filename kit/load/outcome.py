"""What a load came to: the generators' counts added up, in the plan's phases, by model and by second."""

from __future__ import annotations

import enum
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kit.load.figures import Figures, figures, grouped
from kit.load.histogram import Histogram, merged
from kit.load.serverside import Seen, Served, served
from kit.load.values import Cell, Message, Plan

_WINDOWS = 3
_STEADY = 1.10
_COUNTED = 2_000_000
"""Schedules of more requests are not gone through again."""


class End(enum.Enum):
    """How a load ended."""

    PLANNED = "as planned"
    INTERRUPTED = "interrupted"
    SERVER_LOST = "the server stopped answering"
    GENERATOR_LOST = "the load generator ended"
    KNEE = "the server could not keep up with the last step"


@dataclass(frozen=True, kw_only=True)
class PhaseFigures:
    """A phase of the profile: ``load`` is requests a second (or users) at its beginning and end."""

    number: int
    load: tuple[float, float]
    figures: Figures

    @property
    def name(self) -> str:
        """Its load in words."""
        first, last = self.load
        return f"{first:.4g}" if first == last else f"{first:.4g} to {last:.4g}"


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """A model: what the clients saw, and what the server did (None: it did not say)."""

    model: str
    figures: Figures
    served: Served | None


@dataclass(frozen=True, kw_only=True)
class SecondFigures:
    """One second: ``second`` counts from the end of the warm-up."""

    second: int
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class Generators:
    """What made the load. ``busy`` is the CPU of its busiest process, in cores: 1 is all that a process can use."""

    processes: int
    busy: float
    schedule_error: float
    """The share of the scheduled requests that were sent late or never came to their turn; 0 in a closed loop."""


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How alike three windows of a held load are, by the largest over the smallest: stable up to 1.1, for both.

    Source: perf_analyzer's criterion, https://github.com/triton-inference-server/perf_analyzer/blob/main/docs/measurements_metrics.md
    """

    stable: bool
    rate_ratio: float
    latency_ratio: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A load and what came of it. ``seconds`` is how much of the plan was measured, ``started_s`` the time of day."""

    plan: Plan
    end: End
    started_s: float
    seconds: float
    total: Figures
    models: tuple[ModelFigures, ...]
    phases: tuple[PhaseFigures, ...]
    timeline: tuple[SecondFigures, ...]
    generators: Generators
    stability: Stability | None
    response: Histogram = field(default_factory=Histogram)


@dataclass(kw_only=True)
class Collected:
    """Messages, added up while they come."""

    plan: Plan
    cells: dict[tuple[int, int, str], Cell] = field(default_factory=dict)
    started_s: float | None = None
    ended: set[int] = field(default_factory=set)
    newest: dict[int, Message] = field(default_factory=dict)
    busy: dict[int, list[float]] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Add a message."""
        if self.started_s is None or message.started_s < self.started_s:
            self.started_s = message.started_s
        self.newest[message.generator] = message
        if message.wall_s >= message.started_s and not message.ended:
            self.busy.setdefault(message.generator, []).append(message.busy)
        if message.ended:
            self.ended.add(message.generator)
        for cell in message.cells:
            if cell.second < 0:
                continue
            key = (cell.phase, cell.second, cell.model)
            if key in self.cells:
                self.cells[key].merge(cell)
            else:
                self.cells[key] = cell

    @property
    def all_ended(self) -> bool:
        """Whether each generator has told its last."""
        return len(self.ended) >= self.plan.generators

    @property
    def lost_s(self) -> float:
        """For how long nobody has got through to the server."""
        if len(self.newest) < self.plan.generators:
            return 0.0
        return min(message.lost_s for message in self.newest.values())

    def elapsed_s(self) -> float:
        """Return how much of the profile has passed; below 0 in the warm-up."""
        return 0.0 if self.started_s is None else time.time() - self.started_s

    def last(self, seconds: int) -> Figures:
        """Return the figures of the newest whole seconds."""
        now = int(max((message.wall_s for message in self.newest.values()), default=0) - (self.started_s or 0))
        cells = [cell for cell in self.cells.values() if now - seconds <= cell.second < now]
        return figures(cells, seconds, batches(self.plan))


def batches(plan: Plan) -> dict[str, int]:
    """Return the batch size of each model's requests."""
    return {share.title: share.batch for share in plan.models}


def concluded(collected: Collected, end: End, seen: Sequence[Seen]) -> Outcome:
    """Make figures of all that came."""
    plan, cells = collected.plan, list(collected.cells.values())
    size = batches(plan)
    started_s = collected.started_s or 0.0
    seconds = _measured_s(collected, end)
    phases = [
        PhaseFigures(
            number=number,
            load=(plan.profile.phases[number].first, plan.profile.phases[number].last),
            figures=figures(found, _phase_s(plan, number, seconds), size),
        )
        for number, found in grouped(cells, lambda cell: cell.phase).items()
    ]
    by_model = grouped(cells, lambda cell: cell.model)
    models = [
        ModelFigures(
            model=share.title,
            figures=figures(by_model.get(share.title, []), seconds, size),
            served=served(list(seen), share, started_s, started_s + seconds),
        )
        for share in plan.models
    ]
    seconds_of = grouped(cells, lambda cell: cell.second)
    total = figures(cells, seconds, size)
    return Outcome(
        plan=plan,
        end=end,
        started_s=started_s,
        seconds=seconds,
        total=total,
        models=tuple(models),
        phases=tuple(phases),
        timeline=tuple(SecondFigures(second=s, figures=figures(c, 1.0, size)) for s, c in seconds_of.items()),
        generators=_generators(collected, total, end),
        stability=_stability(plan, cells, seconds),
        response=merged(cell.response for cell in cells),
    )


def _measured_s(collected: Collected, end: End) -> float:
    whole = collected.plan.profile.seconds
    if end is End.PLANNED or not collected.newest:
        return whole if collected.cells else 0.0
    last_s = max(message.wall_s for message in collected.newest.values())
    return max(0.0, min(whole, last_s - (collected.started_s or last_s)))


def _phase_s(plan: Plan, number: int, measured_s: float) -> float:
    """Return how much of a phase was measured."""
    start_s = sum(phase.seconds for phase in plan.profile.phases[:number])
    return max(1e-9, min(plan.profile.phases[number].seconds, measured_s - start_s))


def _generators(collected: Collected, total: Figures, end: End) -> Generators:
    busy = max((sum(values) / len(values) for values in collected.busy.values() if values), default=0.0)
    scheduled = total.due
    if collected.plan.arrivals is not None and end is End.PLANNED:
        scheduled = max(scheduled, _scheduled(collected.plan))
    missed = total.late + scheduled - total.due
    return Generators(
        processes=collected.plan.generators, busy=busy, schedule_error=missed / scheduled if scheduled else 0.0
    )


def _scheduled(plan: Plan) -> int:
    """Return how many requests the schedule holds after the warm-up; of very many, how many to expect."""
    from kit.load.driving import schedule

    expected = sum(phase.amount for phase in plan.profile.phases)
    if expected > _COUNTED:
        return int(expected)
    return sum(1 for due_s, _ in schedule(plan, 0, 1) if due_s >= plan.warmup_s)


def _stability(plan: Plan, cells: Sequence[Cell], seconds: float) -> Stability | None:
    phase = plan.profile.phases[0]
    length = int(seconds) // _WINDOWS
    if len(plan.profile.phases) > 1 or phase.first != phase.last or length < 1:
        return None
    windows = [
        figures([cell for cell in cells if cell.second // length == number], length, {}) for number in range(_WINDOWS)
    ]
    rates = [window.rate for window in windows]
    means = [window.response.mean_ms or 0.0 for window in windows]
    if not min(rates) or not min(means):
        return Stability(stable=False, rate_ratio=float("inf"), latency_ratio=float("inf"))
    rate, latency = max(rates) / min(rates), max(means) / min(means)
    return Stability(stable=max(rate, latency) <= _STEADY, rate_ratio=rate, latency_ratio=latency)
