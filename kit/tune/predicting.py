"""Arithmetic: how much load a candidate will hold, by what a batch takes when it is alone.

Requests wait for one of ``c`` instances, which then takes all that wait, up to the largest batch. At an arrival rate
``r`` a batch so has ``r s(b) / c`` requests (Little's law, for one instance's share), where ``s(b)`` is how long a
batch of ``b`` takes. Batches of ``b`` requests each come the more evenly the larger they are, with a squared
coefficient of variation of ``1 / b``, and take the same time each: so they wait ``1 / 2b`` of what M/M/c waits
(Allen and Cunneen's approximation), with Erlang's C for the probability to wait at all, and an exponential tail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kit.tune.values import Candidate, Need

_OVERSUBSCRIBED = 1.1
"""Threads that share cores lose time to each other; by how much is seen when it is measured."""
_ROUNDS, _SETTLING = 24, 12
_UNHEARD_MS = 1e-3


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a candidate takes when as many clients as it has instances send one batch after another.

    ``batch_ms`` is how long the server computes a batch, by its size; ``answer_ms`` how long a client waits for the
    answer to the smallest, all told: the lower quartile, for a busy machine makes others longer.
    """

    candidate: Candidate
    batch_ms: Mapping[int, float] = field(default_factory=dict)
    answer_ms: float

    @property
    def overhead_ms(self) -> float:
        """What an answer takes besides the computation: the way there and back, and the copies."""
        return max(0.0, self.answer_ms - self.batch_ms[min(self.batch_ms)])

    def batch(self, size: int) -> float:
        """Return how long a batch takes, in ms: between two sizes on a line, above the largest in proportion."""
        known = sorted(self.batch_ms)
        below = max((found for found in known if found <= size), default=known[0])
        above = min((found for found in known if found >= size), default=known[-1])
        if below == above:
            return self.batch_ms[below] * max(1.0, size / below)
        part = (size - below) / (above - below)
        return self.batch_ms[below] + part * (self.batch_ms[above] - self.batch_ms[below])


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """Predictions from a few service times on a machine with so many ``cores``; ``gpu`` are variants that need none."""

    services: Sequence[Service]
    cores: int
    need: Need
    gpu: frozenset[str] = frozenset()

    def capacity(self, candidate: Candidate) -> float:
        """Return the rate at which the p99 will reach what is allowed, in requests a second; 0: it never holds."""
        low, high = 0.0, self.ceiling(candidate)
        if self.p99_ms(candidate, 1e-6) > self.need.p99_ms:
            return 0.0
        for _ in range(_ROUNDS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p99_ms(candidate, middle) <= self.need.p99_ms else (low, middle)
        return low

    def ceiling(self, candidate: Candidate) -> float:
        """Return the rate at which all instances compute full batches without a pause."""
        size = max(1, candidate.max_batch_size)
        return 1e3 * candidate.instances * max(b / self.batch_ms(candidate, b) for b in {1, size})

    def p99_ms(self, candidate: Candidate, rate: float) -> float:
        """Return the 99th percentile of the response time at a rate; infinite where it cannot keep up.

        Where more wait, batches grow: of the sizes from the mean one to the largest, that counts which waits least.
        """
        size, most = self.mean_batch(candidate, rate), float(max(1, candidate.max_batch_size))
        found = self._answered_ms(candidate, rate, size)
        while size < most:
            size = min(most, 1.5 * size)
            found = min(found, self._answered_ms(candidate, rate, size))
        return found + self._nearest(candidate).overhead_ms + self._gathering_ms(candidate, rate)

    def _answered_ms(self, candidate: Candidate, rate: float, size: float) -> float:
        took = self.batch_ms(candidate, size)
        busy = rate * took / size / candidate.instances / 1e3
        if busy >= 1:
            return math.inf
        # While a batch gathers all instances are at work: its first request waits for the next one that is done.
        gathers = took / candidate.instances * min(1.0, size - 1)
        return took + gathers + _wait_ms(candidate.instances, busy, took) / size

    def mean_batch(self, candidate: Candidate, rate: float) -> float:
        """Return how many requests a batch has at a rate: those that come while an instance is at work."""
        most, size = float(max(1, candidate.max_batch_size)), 1.0
        for _ in range(_SETTLING):
            came = rate * (self.batch_ms(candidate, size) / candidate.instances + candidate.queue_delay_us / 1e3) / 1e3
            size = (size + min(most, max(1.0, came))) / 2
        return size

    def batch_ms(self, candidate: Candidate, size: float) -> float:
        """Return how long a batch takes with all instances at work."""
        service = self._nearest(candidate)
        low, high = math.floor(size), math.ceil(size)
        took = service.batch(low) + (size - low) * (service.batch(high) - service.batch(low))
        return max(_UNHEARD_MS, took * self._slower(service.candidate, candidate))

    def _gathering_ms(self, candidate: Candidate, rate: float) -> float:
        """Return how long the first of a batch waits for the others."""
        if candidate.max_batch_size <= 1 or not candidate.queue_delay_us:
            return 0.0
        return min(candidate.queue_delay_us / 1e3, 1e3 * (candidate.max_batch_size - 1) / rate)

    def _slower(self, measured: Candidate, asked: Candidate) -> float:
        """Return how much longer a batch takes than in the nearest candidate that was measured.

        Instances share the cores: ``work`` is what a batch needs of them, ``at once`` how many threads work on it.
        """
        if measured.instances == asked.instances and measured.threads == asked.threads:
            return 1.0
        return self._share(measured) / self._share(asked)

    def _share(self, candidate: Candidate) -> float:
        """Return how many cores work on one instance's batch, less what sharing costs; of a GPU, the part."""
        if candidate.variant in self.gpu:
            return 1 / candidate.instances
        threads = candidate.threads or self.cores
        wanted = candidate.instances * threads
        share = min(threads, self.cores / candidate.instances)
        return share / (_OVERSUBSCRIBED if wanted > self.cores else 1.0)

    def _nearest(self, candidate: Candidate) -> Service:
        own = [s for s in self.services if s.candidate.variant == candidate.variant] or list(self.services)
        threads = candidate.threads or self.cores
        return min(
            own,
            key=lambda s: (
                abs(math.log2(s.candidate.instances / candidate.instances))
                + abs(math.log2((s.candidate.threads or self.cores) / threads))
            ),
        )


def _wait_ms(instances: int, busy: float, took_ms: float) -> float:
    """Return the 99th percentile of the wait for one of ``instances`` that are ``busy`` so much of the time."""
    waits = _erlang_c(instances, busy)
    if waits <= 0.01:
        return 0.0
    return took_ms / (2 * instances * (1 - busy)) * math.log(waits / 0.01)


def _erlang_c(servers: int, busy: float) -> float:
    """Return the probability that a request has to wait, by the recursion of Erlang's B."""
    offered, blocked = servers * busy, 1.0
    for server in range(1, servers + 1):
        blocked = offered * blocked / (server + offered * blocked)
    return blocked / (1 - busy * (1 - blocked))
