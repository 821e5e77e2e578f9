"""Settings of the quick search measured as Model Analyzer does it: by a closed loop, until the figures are stable.

perf_analyzer takes three windows that agree within 10 % in rate and latency, and gives up after ten
(https://github.com/triton-inference-server/perf_analyzer/blob/main/docs/measurements_metrics.md); ``kit load`` has the
same criterion for a held load, and here three such loads are the most. What was measured is kept in a file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from _quick_search import Answer, Setting

from kit import load
from kit.errors import ModelLoadError, ServerDiedError
from kit.tune.places.interface import Place
from kit.tune.values import Candidate, Job

_WINDOWS_S = 4.5
_TRIALS = 3


@dataclass(frozen=True, kw_only=True)
class Look:
    """A setting that was measured; ``answer`` None: it could not be served."""

    setting: Setting
    answer: Answer | None
    seconds: float


@dataclass(kw_only=True)
class ClosedLoop:
    """Measures settings of a job in a place; what is not searched is as in ``base``. ``say`` gets a line for each."""

    job: Job
    base: Candidate
    place: Callable[[], Place]
    path: Path
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        self.looks = {look.setting: look for look in (msgspec.json.decode(line, type=Look) for line in lines)}

    def candidate(self, setting: Setting) -> Candidate:
        """Return what a setting means."""
        size = setting.max_batch_size
        delay = self.base.queue_delay_us if size > 1 else 0
        return replace(self.base, instances=setting.instances, max_batch_size=size, queue_delay_us=delay)

    def measure(self, setting: Setting) -> Answer | None:
        """Return what a setting came to, from the file where it is there."""
        if setting not in self.looks:
            begin_s = time.monotonic()
            look = Look(setting=setting, answer=self._answer(setting), seconds=time.monotonic() - begin_s)
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(look) + b"\n")
            self.looks[setting] = look
        look = self.looks[setting]
        found = "failed" if look.answer is None else f"{look.answer.rate:.1f}/s, {look.answer.excess:.0%} over the p99"
        self.say(f"{self.candidate(setting).title}, {setting.users} users: {found}")
        return look.answer

    def _answer(self, setting: Setting) -> Answer | None:
        place = self.place()
        try:
            place.load(self.candidate(setting))
        except (ModelLoadError, ServerDiedError):
            place.recover()
            return None
        plan = load.Plan(
            url=place.url, models=(load.ModelShare(name=self.job.model),), arrivals=None,
            profile=load.held([float(setting.users)], _WINDOWS_S), timeout_s=60.0,
        )  # fmt: skip
        for _ in range(_TRIALS):
            outcome = load.run(plan)
            if outcome.stability is not None and outcome.stability.stable:
                break
        p99_ms, limit_ms = outcome.total.response.p99_ms, self.job.need.p99_ms
        if p99_ms is None:
            return None
        return Answer(rate=outcome.total.rate, excess=max(0.0, p99_ms / limit_ms - 1))
