"""Candidates measured in a place: what a batch takes alone, and how much load is held, by a stepped open loop."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kit import load, machine
from kit.errors import LoadError, ModelLoadError, NotReadyError, ServerDiedError, UnknownModelError
from kit.load import driving
from kit.load.outcome import PhaseFigures
from kit.load.verdict import SATURATED_CORES, gives_way
from kit.stream.failures import CallFailedError
from kit.tune import ladder, processes
from kit.tune.ladder import Effort
from kit.tune.places.interface import Place
from kit.tune.predicting import Service
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Job, Measurement, Stage, Step

_NOISY_CORES = 0.25
"""So many cores that others keep busy change what is measured."""
_PROBE_S, _PROBES = 0.6, 40
"""How long a batch of one size is sent alone, and how often at most."""
_WARMUP_S = 0.7
_ENOUGH_RATE = 900.0
"""Requests a second that one generating process makes with half of its core."""
_LEAST_LATE_MS = 10.0
_STAGES = tuple(Stage)
_BROKEN = (ModelLoadError, ServerDiedError)


@dataclass(kw_only=True)
class Meter:
    """Measures candidates of a job in a place. ``stop`` ends a measurement early: what it has is no measurement then.

    ``seed`` is the one that arrivals are made from; see ``measure``. ``prepared`` makes loads that follow each other
    start at once; without it each takes seconds for locust.
    """

    job: Job
    subject: Subject
    place: Place
    stop: threading.Event = field(default_factory=threading.Event)
    seed: int = 1
    prepared: load.Prepared | None = None

    def service(self, candidate: Candidate, batches: Sequence[int]) -> Service:
        """Return how long batches take that come one after another from one client for each instance.

        ``batches`` that the candidate does not take are left out. Raises ``ModelLoadError`` and ``ServerDiedError``
        where the candidate cannot be served, ``KitError`` where nothing can be sent to the model.
        """
        self._load(candidate)
        sizes = [size for size in batches if size <= max(1, candidate.max_batch_size)]
        try:
            found = {size: self._alone(candidate, size) for size in sizes}
        except CallFailedError as error:
            raise ServerDiedError(f"it did not answer: {error}") from error
        return Service(
            candidate=candidate,
            batch_ms={size: took for size, (took, _) in found.items()},
            answer_ms=found[sizes[0]][1],
        )

    def measure(
        self, candidate: Candidate, stage: Stage, expected: float, effort: Effort, *, repeat: int = 0
    ) -> Measurement:
        """Return how much load a candidate holds: ``expected`` requests a second, or more, or less.

        Steps rise around what is expected; where the first is too much already, or the last is not, others follow.
        Arrivals are drawn alike for all candidates, and anew for each ``repeat`` of a stage: bursts that come by chance
        then hit all that are compared (common random numbers; Law, "Simulation Modeling and Analysis", 11.2).
        """
        begin_s, before = time.monotonic(), processes.clock()
        try:
            self._load(candidate)
            steps, memory = self._steps(expected, effort, _STAGES.index(stage) + len(_STAGES) * repeat)
        except (*_BROKEN, NotReadyError, UnknownModelError) as error:
            return self._failed(candidate, stage, str(error), begin_s)
        except LoadError as error:
            return self._failed(candidate, stage, f"no load could be made: {error}", begin_s)
        if not any(step.held for step in steps):
            self.place.recover()  # of an instance that died of it, nothing else may tell
        return Measurement(
            candidate=candidate, stage=stage, steps=steps, capacity=ladder.capacity(steps, self.job.need),
            memory_bytes=memory, seconds=time.monotonic() - begin_s, noisy=self._noise(before),
        )  # fmt: skip

    def _load(self, candidate: Candidate) -> None:
        try:
            self.place.load(candidate)
        except _BROKEN as error:
            happened = self.place.recover()
            raise (ServerDiedError(f"{error}; {happened}") if happened else error) from error

    def _failed(self, candidate: Candidate, stage: Stage, why: str, begin_s: float) -> Measurement:
        happened = self.place.recover()
        why = f"{why}; {happened}" if happened and happened not in why else why
        return Measurement(candidate=candidate, stage=stage, failed=why, seconds=time.monotonic() - begin_s)

    def _noise(self, before: processes.Clock) -> str:
        others = processes.others_cores(before, processes.clock())
        own = self.place.shared
        if others < _NOISY_CORES:
            return ""
        what = "other programs kept" if own else "other programs kept, where the load is made,"
        return f"{what} {others:.1f} of {machine.cores()} cores busy"

    def _steps(self, expected: float, effort: Effort, draw: int) -> tuple[tuple[Step, ...], int | None]:
        steps: tuple[Step, ...] = ()
        rates: tuple[float, ...] = ladder.rates(expected, effort, self.job.need)
        memory, generators = None, self._generators(rates[-1])
        for attempt in range(effort.attempts):
            seed = self.seed + draw * effort.attempts + attempt
            outcome = self._run(rates, effort, generators, seed)
            memory = self.place.memory_bytes()
            self._check(outcome)
            if outcome.generators.busy > SATURATED_CORES:
                if generators >= self._most_generators():
                    raise LoadError(f"the generator was the bottleneck at {rates[-1]:.0f} requests a second")
                generators = min(2 * generators, self._most_generators())
                continue
            steps = ladder.joined(steps, tuple(_step(phase, outcome, self._limits()) for phase in outcome.phases))
            if self.stop.is_set() or not steps:
                break
            more = ladder.further(steps, effort, self.job.need)
            if not more:
                break
            rates = more
        if not steps and not self.stop.is_set():
            raise LoadError("the generator was the bottleneck")
        return steps, memory

    def _check(self, outcome: load.Outcome) -> None:
        if outcome.end is load.End.SERVER_LOST:
            raise ServerDiedError("the server stopped answering under load")
        if outcome.end is load.End.GENERATOR_LOST:
            raise LoadError("the load generator ended")

    def _run(self, rates: tuple[float, ...], effort: Effort, generators: int, seed: int) -> load.Outcome:
        need, job = self.job.need, self.job
        plan = load.Plan(
            url=self.place.url,
            models=(load.ModelShare(name=job.model),),
            profile=load.Profile(phases=tuple(effort.phase(rate) for rate in rates)),
            arrivals="cameras" if need.cameras else "poisson",
            scene=load.Scene(seed=seed, cameras=max(1, need.cameras)),
            images=None if job.images is None else str(job.images.resolve()),
            warmup_s=_WARMUP_S,
            timeout_s=max(1.0, 10 * need.p99_ms / 1e3),
            in_flight=max(256, round(4 * rates[-1] * need.p99_ms / 1e3)),
            # What the generator sends late counts in the response time; only what could not be held at all has failed.
            late_ms=max(_LEAST_LATE_MS, need.p99_ms),
            generators=generators,
        )
        return load.run(plan, knee=self._limits(), stop=self.stop, prepared=self.prepared)

    def _limits(self) -> load.Limits:
        return load.Limits(percentiles_ms={99.0: self.job.need.p99_ms}, fail_ratio=self.job.need.fail_ratio)

    def _generators(self, rate: float) -> int:
        return max(1, min(self._most_generators(), round(rate / _ENOUGH_RATE)))

    def _most_generators(self) -> int:
        return max(1, machine.cores() // (2 if self.place.shared else 1))

    def _alone(self, candidate: Candidate, size: int) -> tuple[float, float]:
        """Return the times in ms of a batch in the server and of an answer, with every instance at work."""
        plan = load.Plan(
            url=self.place.url, models=(load.ModelShare(name=self.job.model, batch=size),),
            profile=load.held([1.0], 1.0), timeout_s=60.0,
            images=None if self.job.images is None else str(self.job.images.resolve()),
        )  # fmt: skip
        driver = driving.opened(plan)
        try:
            share, count = plan.models[0], candidate.instances
            before = driver.connection.counted(share, driving.TIMEOUT_S)
            answers = _sent(driver, count)
            time.sleep(0.05)  # a batch is counted after its answers are sent
            after = driver.connection.counted(share, driving.TIMEOUT_S)
        finally:
            driver.connection.close()
        executions = max(1, after.executions - before.executions)
        inside = (after.infer_ns - before.infer_ns) + (after.input_ns - before.input_ns)
        inside += after.output_ns - before.output_ns
        return inside / 1e6 / executions, min(answers, default=0.0) if len(answers) < 4 else statistics.quantiles(
            answers, n=4
        )[0]


def _sent(driver: driving.Driver, clients: int) -> list[float]:
    """Send requests from so many clients at once for a while; return how long each answer took, in ms."""
    took: list[float] = []
    failures: list[CallFailedError] = []
    end_s = time.monotonic() + _PROBE_S

    def one() -> None:
        for _ in range(_PROBES):
            begin_s = time.monotonic()
            try:
                driver.connection.send(driver.loaded[0].request(), driver.plan.timeout_s)
            except CallFailedError as error:
                failures.append(error)
                return
            took.append((time.monotonic() - begin_s) * 1e3)
            if time.monotonic() > end_s and len(took) >= 3 * clients:
                return

    threads = [threading.Thread(target=one, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return took


def _step(phase: PhaseFigures, outcome: load.Outcome, limits: load.Limits) -> Step:
    served, figures = outcome.models[0].served, phase.figures
    return Step(
        asked_rate=phase.load[0],
        rate=figures.rate,
        p50_ms=figures.response.p50_ms,
        p99_ms=figures.response.p99_ms,
        fail_ratio=figures.fail_ratio,
        mean_batch=None if served is None or not served.executions else served.mean_batch,
        held=not gives_way(figures, limits),
    )
