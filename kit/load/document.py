"""Everything that is told of a load, as one value: ``--json`` prints it, and the page is made of it."""

from __future__ import annotations

from dataclasses import dataclass

from kit.load import words
from kit.load.beside import Compared
from kit.load.figures import Figures
from kit.load.histogram import highest_us
from kit.load.outcome import Generators, ModelFigures, Outcome, PhaseFigures, SecondFigures, Stability
from kit.load.values import Plan
from kit.load.verdict import Verdict

SCHEMA = "triton-edge-kit-load/1"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """How many response times were at most so long, and longer than those of the bar before."""

    upto_ms: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Document:
    """Everything that is told of a load: what ``--json`` prints. Times in ms, ``started_s`` in seconds since 1970."""

    schema: str
    verdict: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    load: str
    end: str
    started_s: float
    seconds: float
    total: Figures
    models: tuple[ModelFigures, ...]
    phases: tuple[PhaseFigures, ...]
    knee: PhaseFigures | None
    generators: Generators
    stability: Stability | None
    perf_analyzer: Compared | None
    histogram: tuple[Bar, ...]
    timeline: tuple[SecondFigures, ...]
    plan: Plan


def of(outcome: Outcome, verdict: Verdict, compared: Compared | None = None) -> Document:
    """Return all that is told."""
    return Document(
        schema=SCHEMA,
        verdict=verdict.state.value,
        reasons=verdict.reasons,
        notes=verdict.notes,
        load=words.load(outcome.plan),
        end=outcome.end.value,
        started_s=outcome.started_s,
        seconds=outcome.seconds,
        total=outcome.total,
        models=outcome.models,
        phases=outcome.phases,
        knee=verdict.knee,
        generators=outcome.generators,
        stability=outcome.stability,
        perf_analyzer=compared,
        histogram=tuple(
            Bar(upto_ms=highest_us(index) / 1e3, count=count)
            for index, count in sorted(outcome.response.counts.items())
        ),
        timeline=outcome.timeline,
        plan=outcome.plan,
    )
