"""A server that is simulated: requests, a queue, instances and batches, by the clock of the simulation."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kit.errors import ModelLoadError
from kit.tune import ladder
from kit.tune.ladder import Effort
from kit.tune.predicting import Service
from kit.tune.searching import StoppedError
from kit.tune.values import Candidate, Measurement, Need, Stage, Step

Took = Callable[[Candidate, float], float]
"""How long a batch of a size takes in ms, with every instance at work."""


def p99_ms(candidate: Candidate, rate: float, took: Took, *, requests: int = 800, seed: int = 1) -> float:
    """Return the 99th percentile of the response times of Poisson arrivals at a batch server of several instances."""
    generator = random.Random(seed)
    due, now = [], 0.0
    for _ in range(requests):
        now += generator.expovariate(rate) * 1e3
        due.append(now)
    free = [0.0] * candidate.instances
    heapq.heapify(free)
    most, delay = max(1, candidate.max_batch_size), candidate.queue_delay_us / 1e3
    answers, first = [], 0
    while first < len(due):
        idle = heapq.heappop(free)
        begin = max(idle, due[first])
        full = due[first + most - 1] if first + most <= len(due) else due[-1]
        begin = max(begin, min(full, due[first] + delay)) if most > 1 else begin
        last = first
        while last < len(due) and last - first < most and due[last] <= begin:
            last += 1
        done = begin + took(candidate, last - first)
        answers += [done - due[number] for number in range(first, last)]
        heapq.heappush(free, done)
        first = last
    return sorted(answers)[int(len(answers) * 0.99)]


@dataclass(kw_only=True)
class SimulatedBench:
    """Measures a simulated machine; see ``kit.tune.searching.Bench``.

    ``noise`` is how far a measurement may be below the truth, as a share. ``deadly`` candidates cannot be served.
    ``ends_after`` so many measurements the user wants an end.
    """

    need: Need
    took: Took
    noise: float = 0.0
    deadly: frozenset[Candidate] = frozenset()
    ends_after: int = 10_000
    overhead_ms: float = 1.0
    asked: list[tuple[Stage, Candidate]] = field(default_factory=list)
    planned: list[int] = field(default_factory=list)

    def service(self, candidate: Candidate, batches: Sequence[int]) -> Service:
        self._count(Stage.SERVICE, candidate)
        if candidate in self.deadly:
            raise ModelLoadError("Triton refused it")
        found = {size: self.took(candidate, size) for size in batches if size <= max(1, candidate.max_batch_size)}
        return Service(candidate=candidate, batch_ms=found, answer_ms=found[1] + self.overhead_ms)

    def measure(self, candidate: Candidate, stage: Stage, expected: float, effort: Effort) -> Measurement:
        assert expected > 0
        self._count(stage, candidate)
        if candidate in self.deadly:
            return Measurement(candidate=candidate, stage=stage, failed="the server died of it, with exit code 139")
        steps: tuple[Step, ...] = ()
        rates = ladder.rates(expected, effort, self.need)
        for _ in range(effort.attempts):
            steps = ladder.joined(steps, tuple(self._step(candidate, rate) for rate in rates))
            rates = ladder.further(steps, effort, self.need)
            if not rates:
                break
        capacity = ladder.capacity(steps, self.need)
        return Measurement(candidate=candidate, stage=stage, steps=steps, capacity=capacity, memory_bytes=10**8)

    def told(self, *, planned: int, note: str = "") -> None:
        self.planned.append(planned)

    def truth(self, candidate: Candidate) -> float:
        """Return the capacity that a bisection finds."""
        if candidate in self.deadly:
            return 0.0
        sizes = {1, max(1, candidate.max_batch_size)}
        low, high = 0.0, 1100 * candidate.instances * max(size / self.took(candidate, size) for size in sizes)
        for _ in range(9):
            middle = (low + high) / 2
            held = self._latency(candidate, middle, 1.0) <= self.need.p99_ms
            low, high = (middle, high) if held else (low, middle)
        return low

    def _latency(self, candidate: Candidate, rate: float, slower: float) -> float:
        return self.overhead_ms + p99_ms(candidate, rate, lambda c, size: slower * self.took(c, size))

    def _step(self, candidate: Candidate, rate: float) -> Step:
        slower = 1 + self.noise * random.Random(len(self.asked)).random()
        found = self._latency(candidate, rate, slower)
        return Step(asked_rate=rate, rate=rate, p50_ms=found / 2, p99_ms=found, fail_ratio=0.0, mean_batch=1.0,
                    held=found <= self.need.p99_ms)  # fmt: skip

    def _count(self, stage: Stage, candidate: Candidate) -> None:
        if len(self.asked) >= self.ends_after:
            raise StoppedError
        self.asked.append((stage, candidate))


def processor(cores: int, *, serial: float = 0.2, base_ms: float = 2.0, each_ms: float = 6.0) -> Took:
    """Return a CPU: batches gain little, threads speed up all but the ``serial`` part, instances share the cores."""

    def took(candidate: Candidate, size: float) -> float:
        threads = candidate.threads or cores
        share = min(threads, cores / candidate.instances)
        crowded = 1.15 if candidate.instances * threads > cores else 1.0
        return (base_ms + each_ms * size) * crowded * (serial + (1 - serial) / share)

    return took


def accelerator(*, base_ms: float = 15.0, each_ms: float = 2.0, overlap: float = 0.6) -> Took:
    """Return a GPU: a batch costs little more than one, a second instance overlaps copies, more only share it."""
    return lambda candidate, size: (base_ms + each_ms * size) * max(1.0, overlap * candidate.instances)
