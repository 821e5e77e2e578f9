"""Whether a load was held: what was asked for, and whether the run can say anything about it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from kit.load.figures import Figures
from kit.load.outcome import End, Outcome, PhaseFigures

SATURATED_CORES = 0.9
"""A generator this busy (one process of Python has one core) may itself be what is slow; locust's own limit."""
_MOST_LATE = 0.01
"""A larger share of the schedule missed is not the load that was asked for; where perf_analyzer warns too."""
_KEEPS_UP = 0.95


class State(enum.Enum):
    """The verdict; its exit code is in ``EXIT_CODES``."""

    HELD = "held"
    NOT_HELD = "not held"
    NOT_MEASURABLE = "not measurable"


EXIT_CODES = {State.HELD: 0, State.NOT_HELD: 1, State.NOT_MEASURABLE: 3}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What must hold: percentiles of the response time in ms, by percent; the failed share; answers a second."""

    percentiles_ms: dict[float, float] = field(default_factory=dict)
    fail_ratio: float = 0.01
    min_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict with its reasons, and what else one should know. ``knee`` is the last step that was held."""

    state: State
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    knee: PhaseFigures | None = None


def judge(outcome: Outcome, limits: Limits, *, steps: bool = False) -> Verdict:
    """Judge a load as a whole; with ``steps`` each step of it, where the largest that holds is what counts."""
    knee = find_knee(outcome, limits) if steps else None
    notes = tuple(_notes(outcome, knee, steps=steps))
    if reasons := tuple(_not_measurable(outcome, steps=steps)):
        return Verdict(state=State.NOT_MEASURABLE, reasons=reasons, notes=notes, knee=knee)
    reasons = _of_knee(outcome, limits, knee) if steps else tuple(broken(outcome.total, limits))
    state = State.NOT_HELD if reasons else State.HELD
    return Verdict(state=state, reasons=reasons, notes=notes, knee=knee)


def broken(figures: Figures, limits: Limits) -> Iterator[str]:
    """Yield each limit that some figures do not hold."""
    for percent, limit in limits.percentiles_ms.items():
        got = figures.response.percentile(percent)
        if got is None or got > limit:
            found = "no answer" if got is None else f"{got:.4g} ms"
            yield f"p{percent:g} is {found}, allowed are {limit:g} ms"
    if figures.fail_ratio > limits.fail_ratio:
        yield f"{figures.fail_ratio:.3%} failed, allowed are {limits.fail_ratio:.3%}"
    if limits.min_rate is not None and figures.rate < limits.min_rate:
        yield f"{figures.rate:.1f} answers a second, asked for are {limits.min_rate:g}"


def find_knee(outcome: Outcome, limits: Limits) -> PhaseFigures | None:
    """Return the last step before the first that breaks a limit or falls behind; None where the first does."""
    knee = None
    for phase in outcome.phases:
        if gives_way(phase.figures, limits):
            break
        knee = phase
    return knee


def gives_way(figures: Figures, limits: Limits) -> bool:
    """Return whether a step is too much: a limit is broken, or answers come more slowly than requests."""
    without_rate = Limits(percentiles_ms=limits.percentiles_ms, fail_ratio=limits.fail_ratio)
    return figures.rate < _KEEPS_UP * figures.target_rate or any(broken(figures, without_rate))


def _of_knee(outcome: Outcome, limits: Limits, knee: PhaseFigures | None) -> tuple[str, ...]:
    if knee is None:
        return ("the first step is too much already: begin lower", *broken(outcome.phases[0].figures, limits))
    if limits.min_rate is not None and knee.figures.rate < limits.min_rate:
        return (f"it gives way above {knee.figures.rate:.1f} a second, asked for are {limits.min_rate:g}",)
    return ()


def _not_measurable(outcome: Outcome, *, steps: bool) -> Iterator[str]:
    if outcome.end in (End.SERVER_LOST, End.GENERATOR_LOST):
        yield f"{outcome.end.value} after {outcome.seconds:.0f} s"
    made = outcome.generators
    if not outcome.total.due and not made.schedule_error:
        yield "no request was due in the time that was measured; make --duration or --rate larger"
        return
    if not outcome.total.answered:
        yield "not one request was answered"
    if made.busy > SATURATED_CORES:
        yield (
            f"the generator was the bottleneck: a process of it used {made.busy:.0%} of a core; "
            f"try --processes {2 * made.processes}"
        )
    if not steps and made.schedule_error > _MOST_LATE:
        yield (
            f"the generator could not keep its schedule: {made.schedule_error:.1%} were sent late or not at all; "
            "run it on a machine with idle cores, or lower the rate"
        )


def _notes(outcome: Outcome, knee: PhaseFigures | None, *, steps: bool) -> Iterator[str]:
    if outcome.end is End.INTERRUPTED:
        yield f"interrupted after {outcome.seconds:.0f} s of {outcome.plan.profile.seconds:g} s"
    if steps and outcome.end is End.PLANNED and knee is not None and knee.number == len(outcome.phases) - 1:
        yield "the last step holds too: the knee is above it"
    if outcome.end is End.KNEE:
        yield "the first step that gave way ended it: what comes above was cut short, or left out"
    found = outcome.stability
    if found is not None and not found.stable:
        yield (
            f"not stable: between thirds of the run, rates differ by {found.rate_ratio - 1:.0%} "
            f"and mean latencies by {found.latency_ratio - 1:.0%} (10% are usual); measure longer"
        )
