"""What a generator counts, a cell for each second, phase and model, handed on and forgotten at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from kit.load.values import Cell, Message, Plan
from kit.stream.failures import Failure, Trouble


@dataclass(frozen=True, kw_only=True)
class Due:
    """A request: which phase it belongs to, for which model, and when it is due by ``time.monotonic``."""

    phase: int
    model: str
    at_s: float


@dataclass(kw_only=True)
class Recorder:
    """Counts for one process. ``start_s`` is when its warm-up ends, by ``time.monotonic``."""

    plan: Plan
    generator: int
    start_s: float
    in_flight: int = 0
    _cells: dict[tuple[int, int, str], Cell] = field(default_factory=dict)
    _answered_s: float = 0.0
    _lost_since_s: float | None = None
    _wall_s: float = field(default_factory=time.monotonic)
    _cpu_s: float = field(default_factory=time.process_time)

    def cell(self, due: Due) -> Cell:
        """Return the counts that a request goes into."""
        second = int((due.at_s - self.start_s) // 1)
        key = (due.phase, second, due.model)
        found = self._cells.get(key)
        if found is None:
            found = self._cells[key] = Cell(phase=due.phase, second=second, model=due.model)
        return found

    def refused(self, due: Due) -> None:
        """Count an arrival that was not sent."""
        cell = self.cell(due)
        cell.due += 1
        cell.refused += 1

    def ended(self, due: Due, sent_s: float, done_s: float, failure: Failure | None) -> None:
        """Count a request that was sent."""
        cell = self.cell(due)
        cell.due += 1
        cell.lag.add(sent_s - due.at_s)
        if failure is None:
            self._lost_since_s = None
            cell.answered += 1
            cell.response.add(done_s - due.at_s)
            cell.service.add(done_s - sent_s)
            if self.plan.arrivals is not None:  # a user's own request is due when it is sent
                cell.late += (sent_s - due.at_s) * 1e3 > self.plan.late_ms
            return
        cell.errors[failure.text] = cell.errors.get(failure.text, 0) + 1
        if failure.trouble is Trouble.UNREACHABLE and self._lost_since_s is None:
            self._lost_since_s = done_s

    def forget(self) -> None:
        """Let go of all counts, where somebody else keeps them."""
        self._cells.clear()

    def told(self, *, ended: bool = False) -> Message:
        """Return what is new since the last call."""
        now_s, cpu_s = time.monotonic(), time.process_time()
        busy = (cpu_s - self._cpu_s) / max(1e-6, now_s - self._wall_s)
        self._wall_s, self._cpu_s = now_s, cpu_s
        cells, self._cells = tuple(self._cells.values()), {}
        wall_s = time.time()
        return Message(
            generator=self.generator,
            wall_s=wall_s,
            started_s=wall_s - (now_s - self.start_s),
            busy=busy,
            in_flight=self.in_flight,
            cells=cells,
            lost_s=0.0 if self._lost_since_s is None else now_s - self._lost_since_s,
            ended=ended,
        )
