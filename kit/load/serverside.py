"""What the server itself saw: its statistics, asked for each second, and the difference of two askings."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from kit.errors import KitError
from kit.load import protocols
from kit.load.protocols.interface import Connection, Counted
from kit.load.values import ModelShare, Plan
from kit.stream.failures import CallFailedError

_EVERY_S = 1.0
_TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Statistics of all models at a moment of the day's clock."""

    wall_s: float
    counted: dict[str, Counted]


@dataclass(frozen=True, kw_only=True)
class BatchFigures:
    """Batches of one size: how many were computed, and how long one took."""

    size: int
    executions: int
    compute_ms: float


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a server did for a model between two moments; times are the mean of a request, batches by size."""

    seconds: float
    requests: int
    failed: int
    inferences: int
    executions: int
    request_ms: float
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float
    mean_batch: float
    batches: tuple[BatchFigures, ...]


@dataclass(kw_only=True)
class Watch:
    """Asks a server, in a thread of its own, between ``start`` and ``stop``."""

    plan: Plan
    connection: Connection
    seen: list[Seen] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask once more and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * _TIMEOUT_S * len(self.plan.models))
        self.connection.close()

    def _run(self) -> None:
        self._ask()
        while not self._stop.wait(_EVERY_S):
            self._ask()
        self._ask()

    def _ask(self) -> None:
        try:
            counted = {share.title: self.connection.counted(share, _TIMEOUT_S) for share in self.plan.models}
        except (CallFailedError, KitError):
            return  # a server that is busy, gone, or keeps no statistics: what the client saw is told without
        self.seen.append(Seen(wall_s=time.time(), counted=counted))


def watch(plan: Plan) -> Watch:
    """Return what asks the plan's server."""
    return Watch(plan=plan, connection=protocols.get(plan.protocol).connect(plan.url))


def served(seen: list[Seen], share: ModelShare, start_s: float, end_s: float) -> Served | None:
    """Return what happened from the last asking before ``start_s`` to the first after ``end_s``, or the nearest.

    None where there are no two askings, or the model was loaded anew between them.
    """
    if len(seen) < 2:
        return None
    first = max((s for s in seen if s.wall_s <= start_s), key=lambda s: s.wall_s, default=seen[0])
    last = min((s for s in seen if s.wall_s >= end_s), key=lambda s: s.wall_s, default=seen[-1])
    old, new = first.counted[share.title], last.counted[share.title]
    requests = new.requests - old.requests
    if last.wall_s <= first.wall_s or requests < 0:
        return None
    each = 1e6 * max(1, requests)
    executions = new.executions - old.executions
    return Served(
        seconds=last.wall_s - first.wall_s,
        requests=requests,
        failed=new.failed - old.failed,
        inferences=new.inferences - old.inferences,
        executions=executions,
        request_ms=(new.request_ns - old.request_ns) / each,
        queue_ms=(new.queue_ns - old.queue_ns) / each,
        input_ms=(new.input_ns - old.input_ns) / each,
        infer_ms=(new.infer_ns - old.infer_ns) / each,
        output_ms=(new.output_ns - old.output_ns) / each,
        mean_batch=(new.inferences - old.inferences) / max(1, executions),
        batches=tuple(_batches(old, new)),
    )


def _batches(old: Counted, new: Counted) -> list[BatchFigures]:
    found = []
    for size, after in sorted(new.batches.items()):
        before = old.batches.get(size)
        count = after.executions - (before.executions if before else 0)
        spent = after.compute_ns - (before.compute_ns if before else 0)
        if count > 0:
            found.append(BatchFigures(size=size, executions=count, compute_ms=spent / count / 1e6))
    return found
