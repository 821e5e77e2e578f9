"""The batching that holds what the cameras need with the most head-room, found by measuring.

``run`` makes a ``Job`` and returns what was ``Found``; nothing that was published is changed::

    from kit import tune

    need = tune.Need(p99_ms=50.0, cameras=8, fps=15.0)
    found = tune.run(tune.Job(repository=Path("model_repository"), model="digits", target="x86-cpu", need=need))
    print(found.best.candidate.title, found.best.capacity, found.holds, found.sure)
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kit.tune.values import Candidate, Found, Job, Limits, Measurement, Need, Ranked, Stage, Step, Told

__all__ = ["Candidate", "Found", "Job", "Limits", "Measurement", "Need", "Ranked", "Stage", "Step", "Told", "run"]


def run(job: Job, *, tell: Callable[[Told], None] = lambda _: None, stop: threading.Event | None = None) -> Found:
    """Tune; see ``kit.tune.running.run``, which is imported only now: ``kit --help`` stays quick."""
    from kit.tune import running

    return running.run(job, tell=tell, stop=stop)
