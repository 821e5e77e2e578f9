"""Load tests that tell the truth: open loop, latency from when a request was due, the server's figures beside them.

``run`` makes a load and returns its ``Outcome``; ``judge`` holds it to ``Limits``::

    from kit import load

    plan = load.Plan(url="localhost:8001", models=(load.ModelShare(name="digits"),), profile=load.parse("40", 10.0))
    outcome = load.run(plan)
    print(outcome.total.response.p99_ms, outcome.models[0].served, load.judge(outcome, load.Limits(fail_ratio=0.001)))

Each load starts a process that imports locust first; several of them share one, and then start in a tenth of that::

    with load.Prepared() as prepared:
        for plan in plans:
            outcome = load.run(plan, prepared=prepared)
"""

from __future__ import annotations

from kit.load.arrivals.interface import Scene
from kit.load.generating import Hosts
from kit.load.outcome import Collected, End, Outcome
from kit.load.prepared import Prepared
from kit.load.profile import Phase, Profile, held, parse
from kit.load.running import run
from kit.load.values import ModelShare, Plan
from kit.load.verdict import EXIT_CODES, Limits, State, Verdict, judge

__all__ = [
    "EXIT_CODES", "Collected", "End", "Hosts", "Limits", "ModelShare", "Outcome", "Phase", "Plan",
    "Prepared", "Profile", "Scene", "State", "Verdict", "held", "judge", "parse", "run",
]  # fmt: skip
