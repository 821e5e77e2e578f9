"""The search against simulated machines: as good as a whole grid, with a fifth of its measurements."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from queues import SimulatedBench, Took, accelerator, processor

from kit.errors import ModelLoadError, TuneError
from kit.tune import space
from kit.tune.searching import Search, budget
from kit.tune.subject import Subject, Variant
from kit.tune.values import Candidate, Found, Job, Limits, Need, Stage

BEFORE = Candidate(instances=1, max_batch_size=4, queue_delay_us=0, threads=0)


def subject(*, cores: int = 4) -> Subject:
    gpu = not cores
    variant = Variant(
        name="", folder=Path("m"), text="", backend="onnxruntime", version=1, batch_limit=None, gpu=gpu,
        threads=not gpu, before=BEFORE,
    )  # fmt: skip
    return Subject(model="m", target="x86-cpu", variants={"": variant}, cores=cores or 4)


def search(
    took: Took, need: Need, *, limits: Limits | None = None, cores: int = 4, **bench: Any
) -> tuple[Found, SimulatedBench]:
    known, limits = subject(cores=cores), limits or Limits()
    job = Job(repository=Path("r"), model="m", target="x86-cpu", need=need, limits=limits)
    simulated = SimulatedBench(need=need, took=took, **bench)
    pool = space.candidates(known, need, limits)
    return Search(job=job, subject=known, candidates=pool, bench=simulated).run(), simulated


NEED = Need(p99_ms=200)
MACHINES = {
    "two cores": (processor(2), 2),
    "four cores": (processor(4), 4),
    "a serial model": (processor(4, serial=0.9), 4),
    "a parallel model": (processor(4, serial=0.02, base_ms=0.2), 4),
    "batches gain much": (processor(4, base_ms=12, each_ms=1), 4),
    "a GPU": (accelerator(), 0),
    "a GPU that copies": (accelerator(overlap=0.9), 0),
}
"""Cores 0: a GPU."""


@functools.cache
def grid(name: str) -> dict[Candidate, float]:
    """Return what each candidate of a machine holds in truth."""
    took, cores = MACHINES[name]
    bench = SimulatedBench(need=NEED, took=took)
    return {candidate: bench.truth(candidate) for candidate in space.candidates(subject(cores=cores), NEED, Limits())}


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("name", MACHINES)
def test_the_best_of_the_grid_within_a_twentieth_with_a_fifth_of_its_measurements(name: str, noise: float) -> None:
    took, cores = MACHINES[name]
    found, bench = search(took, NEED, cores=cores, noise=noise)
    assert found.best is not None
    assert grid(name)[found.best.candidate] >= 0.95 * max(grid(name).values())
    assert sum(stage is not Stage.SERVICE for stage, _ in bench.asked) <= max(8, len(grid(name)) / 5)
    assert found.considered == len(grid(name))
    assert found.holds


def test_confirmations_go_round_all_finalists_in_turns() -> None:
    _, bench = search(processor(4), Need(p99_ms=80))
    turns = [candidate for stage, candidate in bench.asked if stage is Stage.CONFIRM]
    first, rest = turns[: turns.index(BEFORE)], turns[turns.index(BEFORE) + 1 :]
    assert len(set(first)) == len(first) >= 2
    assert rest in (first[::-1], [*first[::-1], *first])


def test_candidates_that_kill_the_server_are_told_of_and_the_search_goes_on() -> None:
    _, quiet = search(processor(4), Need(p99_ms=80))
    looked = next(candidate for stage, candidate in quiet.asked if stage is Stage.SEARCH)
    found, bench = search(processor(4), Need(p99_ms=80), deadly=frozenset({looked}))
    assert found.best is not None
    assert found.best.candidate != looked
    assert f"{looked.title}: the server died of it, with exit code 139" in found.why
    assert looked not in {each.candidate for each in found.ranked}
    assert (Stage.SEARCH, looked) in bench.asked


def test_where_nothing_can_be_served_the_reason_is_the_servers() -> None:
    every = frozenset(space.candidates(subject(), Need(p99_ms=80), Limits()))
    with pytest.raises(ModelLoadError, match="Triton refused it"):
        search(processor(4), Need(p99_ms=80), deadly=every)


def test_a_limit_below_one_request_alone_is_told_before_any_load() -> None:
    with pytest.raises(TuneError, match=r"a p99 of 2 ms cannot be held: one request alone is answered after 4.2 ms"):
        search(processor(4), Need(p99_ms=2))


@pytest.mark.parametrize("after", [0, 2, 4, 7])
def test_an_early_end_concludes_from_what_there_is(after: int) -> None:
    found, bench = search(processor(4), Need(p99_ms=80), ends_after=after)
    assert found.interrupted
    assert len(bench.asked) == after
    assert (found.best is not None) == any(stage is not Stage.SERVICE for stage, _ in bench.asked)
    if after == 4:
        assert found.sure.startswith("a guess")


def test_what_cameras_need_is_a_step_and_held_or_not() -> None:
    easy, _ = search(processor(4), Need(p99_ms=80, cameras=4, fps=10))
    hard, _ = search(processor(4), Need(p99_ms=80, cameras=400, fps=15))
    assert easy.holds
    assert not hard.holds
    assert hard.best is not None
    assert f"{hard.best.capacity / 6000:.2g} times what is needed" in " ".join(hard.why)


def test_few_candidates_are_confirmed_at_once() -> None:
    limits = Limits(instances=(1, 2), max_batch_sizes=(4,), queue_delays_us=(0,), threads=(0,))
    found, bench = search(processor(4), Need(p99_ms=80), limits=limits)
    assert {stage for stage, _ in bench.asked} == {Stage.SERVICE, Stage.CONFIRM}
    assert found.considered == 2
    assert found.before is not None
    assert found.before.candidate == BEFORE


def test_budgets_are_a_fifth_where_there_are_many() -> None:
    for considered in range(1, 2000, 7):
        plan = budget(considered)
        assert plan.search >= 3
        assert plan.measurements <= max(8, considered / 5)
        assert plan.measurements <= 60
