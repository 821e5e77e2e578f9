"""What ``kit load`` shows: a line while it runs, and the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from kit.cli._text import printable

if TYPE_CHECKING:
    from kit.load.beside import Compared
    from kit.load.figures import Figures, Times
    from kit.load.outcome import Collected, ModelFigures, Outcome
    from kit.load.values import Plan
    from kit.load.verdict import Verdict

_LINE_S = 10.0
_SHOWN_ERRORS = 5


class Board:
    """One line on standard error that is written over on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, plan: Plan, *, shown: bool) -> None:
        self._seconds, self._shown = plan.profile.seconds, shown
        self._terminal = sys.stderr.isatty()
        self._next_s = time.monotonic() + (0 if self._terminal else _LINE_S)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        if self._shown and self._terminal:
            sys.stderr.write("\r\033[K")

    def tell(self, collected: Collected) -> None:
        """Show how it goes."""
        now_s = time.monotonic()
        if not self._shown or now_s < self._next_s:
            return
        self._next_s = now_s + (1.0 if self._terminal else _LINE_S)
        text = _progress(collected, self._seconds)
        sys.stderr.write(f"\r\033[K{text}" if self._terminal else f"{text}\n")
        sys.stderr.flush()


def lines(outcome: Outcome, verdict: Verdict, compared: Compared | None, *, quiet: bool) -> Iterator[str]:
    """Yield the result as a person reads it; with ``quiet`` only why it was not held."""
    if not quiet:
        yield _title(outcome)
        yield ""
        yield _head("")
        for model in outcome.models:
            yield from _model(model)
        if len(outcome.models) > 1:
            yield _row("all", outcome.total)
        yield "times in ms, from when a request was due to its answer" if outcome.plan.arrivals else "times in ms"
        yield from _phases(outcome, verdict)
        yield _generator(outcome)
        yield from (
            f"  {count} x {printable(text)}" for text, count in list(outcome.total.errors.items())[:_SHOWN_ERRORS]
        )
        if outcome.total.late or outcome.total.refused:
            yield f"  {outcome.total.late} sent late, {outcome.total.refused} refused because too many were under way"
        if compared is not None:
            yield _row("from sent", outcome.total, outcome.total.service)
            yield from compared.lines()
        yield from (f"note: {note}" for note in verdict.notes)
    if not quiet or verdict.reasons:
        yield ": ".join([verdict.state.value, *(["; ".join(verdict.reasons)] if verdict.reasons else [])])


def _title(outcome: Outcome) -> str:
    from kit.load import words

    plan = outcome.plan
    names = " and ".join(share.title for share in plan.models)
    return f"{printable(names)} at {plan.url}: {words.load(plan)}, measured for {outcome.seconds:.0f} s"


def _model(model: ModelFigures) -> Iterator[str]:
    yield _row(model.model, model.figures)
    served = model.served
    if served is not None and served.requests:
        sizes = ", ".join(f"{batch.size}: {batch.compute_ms:.1f} ms x {batch.executions}" for batch in served.batches)
        yield (
            f"  server: queue {served.queue_ms:.2f}, input {served.input_ms:.2f}, compute {served.infer_ms:.2f}, "
            f"output {served.output_ms:.2f} ms a request; batches {sizes or f'{served.mean_batch:.2f} on average'}"
        )


def _head(name: str) -> str:
    words = ("failed", "p50", "p90", "p95", "p99", "p99.9", "max")
    return f"{name:14}{'requests/s':>10} " + " ".join(f"{word:>8}" for word in words)


def _row(name: str, figures: Figures, times: Times | None = None) -> str:
    times = times or figures.response
    shown = (times.p50_ms, times.p90_ms, times.p95_ms, times.p99_ms, times.p999_ms, times.max_ms)
    return (
        f"{printable(name):14}{figures.rate:10.1f} {figures.fail_ratio:8.2%} "
        + " ".join(f"{_ms(value):>8}" for value in shown)
    )  # fmt: skip


def _phases(outcome: Outcome, verdict: Verdict) -> Iterator[str]:
    if len(outcome.phases) < 2:
        return
    yield ""
    yield _head("step")
    for phase in outcome.phases:
        knee = "  <- the most that holds" if verdict.knee is not None and phase.number == verdict.knee.number else ""
        yield _row(phase.name, phase.figures) + knee


def _generator(outcome: Outcome) -> str:
    made, lag = outcome.generators, outcome.total.lag
    text = f"generator: {made.busy:.0%} of a core"
    if made.processes > 1:
        text += f" in the busiest of {made.processes} processes"
    if outcome.plan.arrivals is None:
        return text
    sent = f"sent {_ms(lag.p50_ms)} ms after due (p99 {_ms(lag.p99_ms)})"
    return f"{text}, {made.schedule_error:.2%} of the schedule missed, {sent}"


def _progress(collected: Collected, seconds: float) -> str:
    now_s = collected.elapsed_s()
    if collected.started_s is None:
        return "starting"
    if now_s < 0:
        return f"warming up for {-now_s:.0f} s"
    recent = collected.last(2)
    times: Times = recent.response
    under_way = sum(message.in_flight for message in collected.newest.values())
    return (
        f"{min(now_s, seconds):.0f} s of {seconds:g} s: {recent.rate:.1f} answers/s, p50 {_ms(times.p50_ms)} ms, "
        f"p99 {_ms(times.p99_ms)} ms, {recent.fail_ratio:.1%} failed, {under_way} under way"
    )


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
