"""The peer of benchmarks/tune.py climbs as Model Analyzer does; what that asks for was recorded from it (63a0fec)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

_PATH = Path(__file__).parents[2] / "benchmarks" / "_quick_search.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_quick_search", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


search = _loaded()


def _surface(batch: float, instances: float, base: float, limit_ms: float) -> Callable[[Any], Any]:
    """A rate that grows up to a batch and an instance count, and a latency by Little's law."""

    def answer(setting: Any) -> Any:
        gain = min(setting.max_batch_size, batch) ** 0.4 * min(setting.instances, instances) ** 0.7
        rate = base * gain / (1 + 0.02 * setting.instances + 0.01 * setting.max_batch_size)
        return search.Answer(rate=rate, excess=max(0.0, setting.users / rate * 1e3 / limit_ms - 1))

    return answer


@pytest.mark.parametrize(
    ("surface", "bounds", "asked", "best"),
    [
        ((3, 2, 40, 1e9), (8, 3), [(1, 1), (1, 2), (2, 1), (4, 3), (8, 3)], (4, 3)),
        (
            (8, 3, 20, 300),
            (8, 4),
            [(1, 1), (1, 2), (2, 1), (4, 3), (2, 2), (1, 3), (4, 2), (2, 3), (2, 4)],
            (2, 3),
        ),
        (
            (6, 5, 30, 400),
            (64, 16),
            [(1, 1), (1, 2), (2, 1), (4, 3), (16, 5), (2, 3), (8, 3), (4, 2), (4, 4), (2, 4), (8, 4), (4, 5), (2, 5),
             (8, 5), (4, 6)],
            (4, 5),
        ),
        ((2, 1, 100, 50), (8, 3), [(1, 1), (1, 2), (2, 1), (4, 3), (4, 1), (2, 2)], (2, 1)),
        ((4, 2, 10, 90), (8, 3), [(1, 1), (1, 2), (2, 1), (4, 3)], (1, 1)),
    ],
)  # fmt: skip
def test_it_asks_for_what_model_analyzer_asks_for(
    surface: tuple[float, ...], bounds: tuple[int, int], asked: list[tuple[int, int]], best: tuple[int, int]
) -> None:
    found = search.climb(_surface(*surface), search.Bounds(max_batch_size=bounds[0], instances=bounds[1]))
    assert [(setting.max_batch_size, setting.instances) for setting in found.measured] == asked
    assert (found.best.max_batch_size, found.best.instances) == best


@given(
    seed=st.randoms(use_true_random=False),
    batch=st.integers(0, 6),
    instances=st.integers(1, 6),
    failing=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_it_ends_within_its_bounds_with_the_best_it_saw(seed: Any, batch: int, instances: int, failing: float) -> None:
    asked = []

    def measure(setting: Any) -> Any:
        asked.append(setting)
        if seed.random() < failing:
            return None
        return search.Answer(rate=seed.uniform(1, 100), excess=seed.choice([0.0, 0.0, seed.uniform(0.1, 3)]))

    found = search.climb(measure, search.Bounds(max_batch_size=2**batch, instances=instances))
    assert asked == list(found.measured)  # each once
    assert all(s.max_batch_size <= 2**batch and s.instances <= instances for s in asked)
    answers = [answer for answer in found.measured.values() if answer is not None]
    if found.best is None:
        assert not answers
    else:
        assert not any(search.beats(answer, found.measured[found.best]) for answer in answers)


def test_a_setting_is_measured_by_twice_the_requests_that_it_computes_at_once() -> None:
    assert search.Setting(max_batch_size=8, instances=3).users == 48
