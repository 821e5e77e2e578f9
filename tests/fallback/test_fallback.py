"""The search for layers to leave as they were: it ends, it is bounded, it finds what breaks, it goes on when killed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from verdicts import Drop, Verdict

from kit import fallback
from kit.cache import Cache
from kit.fallback import Found, Hints, Limits, searching
from kit.precision.interface import Group, Lowered
from kit.progress import Silent
from kit.stages import Stages
from kit.types import Model, Signature

BUDGET = 0.01


@dataclass
class Problem:
    """A network of which each lowered group costs some of the metric, and gains some of the time."""

    losses: Mapping[str, float]
    times: Mapping[str, float] = field(default_factory=dict)
    together: Callable[[set[str]], float] | None = None
    judged: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(Group(name=name, nodes=(name,), module=name) for name in self.losses)

    def make(self, reverted: frozenset[str]) -> Lowered:
        text = ",".join(sorted(set(self.losses) - reverted))
        model = Model(
            path=Path(text or "none"), digest=hashlib.sha256(text.encode()).hexdigest(),
            signature=Signature(inputs=(), outputs=()), opset=18, ir_version=8,
        )  # fmt: skip
        return Lowered(model=model, groups=self.groups)

    def lowered(self, model: Model) -> set[str]:
        return set(str(model.path).split(",")) - {"none"}

    def drop(self, model: Model) -> float:
        lowered = self.lowered(model)
        return self.together(lowered) if self.together else sum(self.losses[name] for name in lowered)

    def judge(self, model: Model) -> Verdict:
        self.judged += 1
        drop = self.drop(model)
        return Verdict(drop=Drop(drop), held=drop <= BUDGET, reasons=() if drop <= BUDGET else ("it falls",))

    def latency(self, model: Model) -> float:
        gained = sum(self.times.get(name, 0.0) for name in self.lowered(model))
        return 1.0 - gained

    def search(self, folder: Path, limits: Limits | None = None, *, timed: bool = True) -> Found:
        return fallback.search(
            self.make, self.judge, stages=Stages(cache=Cache(root=folder), progress=Silent()), identity="set",
            distance=self.drop, latency=self.latency if timed else None, limits=limits or Limits(),
            tell=self.told.append,
        )  # fmt: skip


def names(found: Found) -> set[str]:
    return {group.name for group in found.reverted}


def test_what_holds_is_left_alone(tmp_path: Path) -> None:
    problem = Problem({"a": 0.001, "b": 0.002})
    found = problem.search(tmp_path)
    assert (found.held, found.reverted, problem.judged) == (True, (), 1)


@pytest.mark.parametrize("broken", [{"l3", "l17"}, {"l0", "l1"}, {"l29", "l5"}, {"l7"}])
def test_exactly_the_layers_that_break_are_reverted(broken: set[str], tmp_path: Path) -> None:
    problem = Problem({f"l{i}": 0.2 if f"l{i}" in broken else 0.0001 for i in range(30)})
    found = problem.search(tmp_path)
    assert found.held
    assert names(found) == broken
    assert problem.judged <= 8


def test_time_decides_between_layers_that_give_back_as_much(tmp_path: Path) -> None:
    problem = Problem({"slow": 0.02, "quick": 0.02, "rest": 0.0}, {"slow": 0.3, "quick": 0.05, "rest": 0.2},
                      lambda lowered: 0.0 if not {"slow", "quick"} <= lowered else 0.02)  # fmt: skip
    assert names(problem.search(tmp_path)) == {"quick"}


def test_what_costs_no_time_is_left_for_its_accuracy(tmp_path: Path) -> None:
    problem = Problem({"bad": 0.2, "poor": 0.004, "rest": 0.0}, {"bad": 0.1, "poor": 0.0, "rest": 0.3},
                      lambda lowered: 0.2 * ("bad" in lowered) + 0.004 * ("poor" in lowered))  # fmt: skip
    start = fallback.Unit({"bad", "poor"})
    search = searching._Search(
        make=problem.make, judge=problem.judge, distance=problem.drop, hints=None, latency=problem.latency,
        stages=Stages(cache=Cache(root=tmp_path), progress=Silent()), identity="set", limits=Limits(),
        tell=problem.told.append, groups=problem.groups,
    )  # fmt: skip
    assert names(search._trim(fallback.Unit(), [start], search._outcome(start))) == {"bad", "poor"}
    problem.times = {"bad": 0.1, "poor": 0.05, "rest": 0.3}
    search.stages = Stages(cache=Cache(root=tmp_path / "new"), progress=Silent())
    assert names(search._trim(fallback.Unit(), [start], search._outcome(start))) == {"bad"}


def test_two_groups_with_one_tensor_between_them_are_reverted_together(tmp_path: Path) -> None:
    """An outlier in a tensor stays quantised as long as the group that gives it, or the one that takes it, is."""
    losses = {f"l{i}": 0.0001 for i in range(10)}

    def together(lowered: set[str]) -> float:
        return sum(losses[name] for name in lowered) + 0.2 * bool({"l4", "l5"} & lowered)

    problem = Problem(losses, together=together)
    hints = Hints(readers={f"l{i}": (f"l{i + 1}",) for i in range(9)})
    stages = Stages(cache=Cache(root=tmp_path), progress=Silent())
    found = fallback.search(
        problem.make, problem.judge, stages=stages, identity="set", distance=problem.drop, hints=lambda _: hints
    )
    assert (found.held, names(found)) == (True, {"l4", "l5"})
    assert problem.judged <= 6


def test_what_would_be_no_faster_is_refused_with_the_numbers(tmp_path: Path) -> None:
    problem = Problem({"a": 0.2, "b": 0.2, "c": 0.0}, {"a": 0.3, "b": 0.3, "c": 0.02})
    found = problem.search(tmp_path, Limits(slowest=0.95))
    assert not found.held
    assert found.why == (
        "with 2 of 3 groups reverted it takes 0.98 of the original's time, and 0.95 or more is not worth it"
    )


def test_what_made_it_worse_is_taken_back(tmp_path: Path) -> None:
    def together(lowered: set[str]) -> float:
        # Errors of two layers cancel each other: reverting one of them alone is worse than neither.
        cancelled = 0.0 if ("x" in lowered) == ("y" in lowered) else 0.5
        return cancelled + (0.1 if "bad" in lowered else 0.0)

    problem = Problem({"x": 0.0, "y": 0.0, "bad": 0.1}, together=together)
    distances = {"x": -1.0, "y": -1.0}  # a few pictures may mislead

    found = fallback.search(
        problem.make, problem.judge, stages=Stages(cache=Cache(root=tmp_path), progress=Silent()), identity="set",
        distance=lambda model: 1.0 + sum(-distances.get(name, -0.1) for name in problem.lowered(model)),
        tell=problem.told.append,
    )  # fmt: skip
    assert found.held
    assert names(found) == {"bad"}
    assert any("taken back" in line for line in problem.told)
    assert any(not step.kept for step in found.steps)


LOSSES = st.dictionaries(
    st.sampled_from([f"l{i}" for i in range(12)]), st.sampled_from([0.0, 1 / 2048, 1 / 256, 1 / 64, 0.25]), min_size=1
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(losses=LOSSES)
def test_a_monotone_problem_ends_held_and_minimal(
    losses: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    problem = Problem(losses)
    found = problem.search(tmp_path_factory.mktemp("stages"), timed=False)
    assert found.held
    assert sum(value for name, value in losses.items() if name not in names(found)) <= BUDGET
    for name in names(found):  # not one more could be lowered
        kept = names(found) - {name}
        assert sum(value for other, value in losses.items() if other not in kept) > BUDGET
    assert problem.judged <= 3 + 2 * math.ceil(math.log2(len(losses) + 1)) + 2 * len(losses)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 12), judgements=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_any_problem_ends_within_its_limits_and_says_the_truth(
    count: int, judgements: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def together(lowered: set[str]) -> float:  # any number for any set
        digest = hashlib.sha256(f"{seed}{sorted(lowered)}".encode()).digest()
        return digest[0] / 256 * 0.05 if lowered else 0.0

    problem = Problem({f"l{i}": 0.0 for i in range(count)}, together=together)
    found = problem.search(tmp_path_factory.mktemp("stages"), Limits(judgements=judgements))
    assert problem.judged <= judgements
    assert found.held == (together(set(problem.losses) - names(found)) <= BUDGET)
    assert found.why


def test_what_surely_fails_on_a_part_is_not_shown_all_pictures(tmp_path: Path) -> None:
    problem = Problem({f"l{i}": 0.3 if i in (2, 5, 9) else 0.0001 for i in range(12)})
    glanced: list[float] = []

    def glance(model: Model) -> Verdict:
        drop = 0.9 * problem.drop(model)  # fewer pictures say nearly the same
        glanced.append(drop)
        return Verdict(drop=Drop(drop), held=drop <= BUDGET)

    found = fallback.search(
        problem.make, problem.judge, stages=Stages(cache=Cache(root=tmp_path), progress=Silent()), identity="set",
        distance=problem.drop, glance=glance, tell=problem.told.append,
    )  # fmt: skip
    assert (found.held, names(found)) == (True, {"l2", "l5", "l9"})
    assert problem.judged == sum(drop <= BUDGET for drop in glanced)
    assert "everything lowered: drop 81.08 points on a part of the pictures, does not hold" in problem.told


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(losses=LOSSES, bias=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_whatever_a_part_says_the_whole_decides(
    losses: dict[str, float], bias: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    problem = Problem(losses)

    def glance(model: Model) -> Verdict:
        drop = bias * problem.drop(model)
        return Verdict(drop=Drop(drop), held=drop <= BUDGET)

    stages = Stages(cache=Cache(root=tmp_path_factory.mktemp("stages")), progress=Silent())
    found = fallback.search(
        problem.make, problem.judge, stages=stages, identity="set", distance=problem.drop, glance=glance
    )
    assert found.held
    assert problem.drop(found.lowered.model) <= BUDGET


def test_only_what_holds_is_timed_for_long(tmp_path: Path) -> None:
    problem = Problem({f"l{i}": 0.2 if i in (3, 7) else 0.0 for i in range(10)}, {f"l{i}": 0.05 for i in range(10)})
    timed: list[Model] = []

    def latency(model: Model) -> float:
        timed.append(model)
        return problem.latency(model)

    found = fallback.search(
        problem.make, problem.judge, stages=Stages(cache=Cache(root=tmp_path), progress=Silent()), identity="set",
        distance=problem.drop, latency=latency, brief=problem.latency,
    )  # fmt: skip
    assert names(found) == {"l3", "l7"}
    assert timed
    assert all(problem.drop(model) <= BUDGET for model in timed)


class KilledError(Exception):
    pass


def test_a_search_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    losses = {f"l{i}": 0.3 if i in (2, 5, 9) else 0.0001 for i in range(12)}
    whole = Problem(losses)
    expected = whole.search(tmp_path / "whole")
    killed = Problem(losses)
    judge = killed.judge

    def dying(model: Model) -> Verdict:
        if killed.judged == 2:
            raise KilledError
        return judge(model)

    killed.judge = dying  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        killed.search(tmp_path / "killed")
    again = Problem(losses)
    assert again.search(tmp_path / "killed") == expected
    assert again.judged == whole.judged - 2


def test_another_set_is_judged_anew(tmp_path: Path) -> None:
    problem = Problem({"a": 0.2, "b": 0.0})
    stages = Stages(cache=Cache(root=tmp_path), progress=Silent())
    for identity in ("one", "two"):
        fallback.search(problem.make, problem.judge, stages=stages, identity=identity)
    assert problem.judged == 4


def test_steps_are_told_in_modules(tmp_path: Path) -> None:
    problem = Problem({"head.a": 0.2, "head.b": 0.2, "body": 0.0})
    found = problem.search(tmp_path)
    assert found.modules == ("head",)
    assert problem.told[0] == "everything lowered: drop 40.00 points, 1.00 of the time, does not hold"
    assert any(line.startswith("head as they were: drop 0.00 points, 1.00 of the time, holds") for line in problem.told)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"head.box.0", "head.box.1", "head.cls"}, ("head",)),
        ({"head.box.0", "head.box.1"}, ("head.box",)),
        ({"head.box.0"}, ("head.box.0",)),
        ({"stem", "head.box.0", "head.box.1"}, ("stem", "head.box")),
        (set(), ()),
    ],
)
def test_whole_modules_are_named_as_such(chosen: set[str], told: tuple[str, ...]) -> None:
    groups = [Group(name=n, nodes=(n,), module=n) for n in ("stem", "head.box.0", "head.box.1", "head.cls")]
    assert fallback.in_modules(groups, chosen) == told
