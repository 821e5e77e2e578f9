"""All ways to serve a model that are worth a thought: by the machine, the model, the need and the user's limits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from kit.errors import TuneError
from kit.tune.subject import Subject, Variant
from kit.tune.values import Candidate, Limits, Need

_CPU_BATCH, _GPU_BATCH = 8, 32
_GPU_INSTANCES = (1, 2, 3, 4)
"""More gain nothing on any GPU: 2 overlap copies, and NVIDIA calls 1 to 3 optimal on a Jetson.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/optimization.md and
docs/examples/jetson/concurrency_and_dynamic_batching/README.md there.
"""
_DELAYS = (0.0, 0.05, 0.2)
"""Shares of the latency budget that a frame may wait for others."""


def candidates(subject: Subject, need: Need, limits: Limits) -> tuple[Candidate, ...]:
    """Return every candidate once, in order, with what the repository says now among them.

    Raises ``TuneError`` where the limits leave none.
    """
    found = {c for variant in subject.variants.values() for c in _of(variant, subject.cores, need, limits)}
    if not found:
        raise TuneError("the limits leave nothing to try; widen --batch, --instances, --delay or --threads")
    return tuple(sorted(found | {subject.before}))


def _of(variant: Variant, cores: int, need: Need, limits: Limits) -> Iterator[Candidate]:
    for batch in _batches(variant, need, limits):
        delays = limits.queue_delays_us if limits.queue_delays_us is not None else _delays_us(need)
        for count, delay, threads in itertools.product(
            limits.instances or _instances(variant, cores),
            delays if batch > 1 else (0,),
            (limits.threads or _threads(cores)) if variant.threads else (variant.before.threads,),
        ):
            yield Candidate(
                variant=variant.name, instances=count, max_batch_size=batch, queue_delay_us=delay, threads=threads
            )


def _batches(variant: Variant, need: Need, limits: Limits) -> tuple[int, ...]:
    if variant.batch_limit == 0:
        return (0,)
    most = _GPU_BATCH if variant.gpu else _CPU_BATCH
    if need.cameras:  # frames that wait together are at most those of a few periods
        most = min(most, 2 * need.cameras)
    asked = limits.max_batch_sizes or (*_powers(most), max(1, variant.before.max_batch_size))
    limit = variant.batch_limit or max(asked)
    return tuple(sorted({size for size in asked if 1 <= size <= limit}))


def _instances(variant: Variant, cores: int) -> tuple[int, ...]:
    if variant.gpu:
        return _GPU_INSTANCES
    return tuple(sorted({*_powers(cores), cores, cores + 1}))


def _threads(cores: int) -> tuple[int, ...]:
    """Return 0, which is one for each core, and the powers of two below."""
    return (0, *(count for count in _powers(cores) if count < cores))


def _delays_us(need: Need) -> tuple[int, ...]:
    return tuple(sorted({round(need.p99_ms * share * 10) * 100 for share in _DELAYS}))


def _powers(most: int) -> Iterable[int]:
    return (1 << exponent for exponent in range(max(1, most).bit_length()))
