"""The arithmetic keeps its laws, and comes near a simulation of the same queue."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queues import Took, accelerator, p99_ms, processor

from kit.tune.predicting import Arithmetic, Service
from kit.tune.values import Candidate, Need

SIZES = (1, 2, 4, 8, 16)
candidates = st.builds(
    Candidate,
    instances=st.integers(1, 8),
    max_batch_size=st.sampled_from((0, 1, 2, 4, 8, 16)),
    queue_delay_us=st.sampled_from((0, 1000, 5000)),
    threads=st.integers(0, 8),
)
services = st.builds(
    lambda base, each, overhead, probe: Service(
        candidate=probe, batch_ms={n: base + each * n for n in SIZES}, answer_ms=base + each + overhead
    ),
    st.floats(0.1, 20),
    st.floats(0.05, 20),
    st.floats(0, 5),
    candidates,
)


def arithmetic(service: Service, p99: float, cores: int = 4) -> Arithmetic:
    return Arithmetic(services=[service], cores=cores, need=Need(p99_ms=p99))


@given(services, candidates, st.floats(1, 500))
@settings(max_examples=60, deadline=None)
def test_what_is_predicted_to_hold_keeps_the_limit_and_more_does_not(
    service: Service, candidate: Candidate, p99: float
) -> None:
    found = arithmetic(service, p99)
    rate = found.capacity(candidate)
    assert 0 <= rate <= found.ceiling(candidate)
    if rate:
        assert found.p99_ms(candidate, rate) <= p99 * 1.001
    if 0 < rate < 0.99 * found.ceiling(candidate):
        assert found.p99_ms(candidate, rate * 1.02) >= p99 * 0.98


@given(services, candidates, st.floats(1, 200), st.floats(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_looser_limit_never_holds_less(service: Service, candidate: Candidate, p99: float, more: float) -> None:
    tight, loose = arithmetic(service, p99), arithmetic(service, p99 * more)
    assert loose.capacity(candidate) >= tight.capacity(candidate) * 0.999


@given(services, candidates, st.floats(0.1, 50))
@settings(max_examples=60, deadline=None)
def test_batches_are_within_what_is_allowed(service: Service, candidate: Candidate, rate: float) -> None:
    size = arithmetic(service, 100).mean_batch(candidate, rate)
    assert 1 <= size <= max(1, candidate.max_batch_size)


@given(services, st.integers(1, 32))
def test_a_larger_batch_never_takes_less(service: Service, size: int) -> None:
    assert service.batch(size + 1) >= service.batch(size) * 0.999


@pytest.mark.parametrize("instances", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("took", [processor(4), accelerator(base_ms=3, each_ms=0.4)])
def test_it_comes_near_a_simulation(instances: int, batch: int, took: Took) -> None:
    candidate = Candidate(instances=instances, max_batch_size=batch, queue_delay_us=0, threads=1)
    service = Service(
        candidate=candidate, batch_ms={n: took(candidate, n) for n in SIZES}, answer_ms=took(candidate, 1)
    )
    found = arithmetic(service, 100)
    rate = found.capacity(candidate)
    low, high = 0.0, 4 * found.ceiling(candidate)
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if p99_ms(candidate, middle, took, requests=3000) <= 100 else (low, middle)
    assert 0.75 * low <= rate <= 1.35 * low


def test_what_never_keeps_the_limit_holds_nothing() -> None:
    candidate = Candidate(instances=1, max_batch_size=1, queue_delay_us=0, threads=1)
    service = Service(candidate=candidate, batch_ms={1: 30.0}, answer_ms=31.0)
    found = arithmetic(service, 20)
    assert found.capacity(candidate) == 0
    assert math.isinf(found.p99_ms(candidate, 1000))
