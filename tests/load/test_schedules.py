"""When requests are due: by any profile, in order, as many as it holds, and each by one process only."""

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import UsageError
from kit.load import arrivals
from kit.load.arrivals.interface import Scene
from kit.load.driving import schedule
from kit.load.profile import Clock, Phase, Profile, held, parse
from kit.load.values import ModelShare, Plan

LOADS = st.floats(0.5, 200)
PHASES = st.builds(Phase, first=LOADS, last=LOADS, seconds=st.floats(0.1, 20))
PROFILES = st.lists(PHASES, min_size=1, max_size=4).map(lambda phases: Profile(phases=tuple(phases)))
SCENES = st.builds(Scene, seed=st.integers(0, 10**6), cameras=st.integers(1, 9), jitter=st.floats(0, 1))
PATTERNS = st.sampled_from(arrivals.names())


def plan(profile: Profile, pattern: str, scene: Scene, warmup_s: float = 0.0) -> Plan:
    return Plan(
        url="x", models=(ModelShare(name="m"),), profile=profile, arrivals=pattern, scene=scene, warmup_s=warmup_s
    )  # fmt: skip


@given(PHASES, st.floats(0, 1))
def test_a_moment_is_where_the_integral_has_come_to(phase: Phase, share: float) -> None:
    moment_s = phase.moment_s(share * phase.amount)
    assert -1e-9 <= moment_s <= phase.seconds * (1 + 1e-9)
    passed = phase.first * moment_s + (phase.last - phase.first) * moment_s**2 / (2 * phase.seconds)
    assert passed == pytest.approx(share * phase.amount, rel=1e-6, abs=1e-6)


@given(PROFILES, PATTERNS, SCENES)
def test_arrivals_are_in_order_and_inside_the_profile(profile: Profile, pattern: str, scene: Scene) -> None:
    due = list(itertools.islice(schedule(plan(profile, pattern, scene), 0, 1), 500))
    assert all(earlier <= later for earlier, later in itertools.pairwise(due))
    assert all(0 <= due_s <= profile.seconds * (1 + 1e-9) for due_s, _ in due)
    assert all(profile.at(due_s)[1] in (phase, phase + 1) for due_s, phase in due)  # at an edge either is right


@given(PROFILES)
def test_constant_arrivals_are_as_many_as_the_profile_holds(profile: Profile) -> None:
    amount = sum(phase.amount for phase in profile.phases)
    count = sum(1 for _ in schedule(plan(profile, "constant", Scene(seed=1)), 0, 1))
    assert abs(count - amount) <= 1 + 1e-6


@given(PROFILES, PATTERNS, SCENES, st.integers(1, 5), st.floats(0, 2))
def test_all_parts_together_send_each_request_once(
    profile: Profile, pattern: str, scene: Scene, parts: int, warmup_s: float
) -> None:
    asked = plan(profile, pattern, scene, warmup_s)
    whole = list(itertools.islice(schedule(asked, 0, 1), 300))
    split = sorted(
        found for part in range(parts) for found in itertools.islice(schedule(asked, part, parts), len(whole))
    )
    assert split[: len(whole)] == whole


def gaps(pattern: str, scene: Scene, count: int = 20_000) -> list[float]:
    points = list(itertools.islice(arrivals.get(pattern).points(scene), count))
    return [later - earlier for earlier, later in itertools.pairwise(points)]


@pytest.mark.parametrize("pattern", arrivals.names())
def test_every_pattern_has_a_mean_of_one_a_second(pattern: str) -> None:
    assert statistics.fmean(gaps(pattern, Scene(seed=3, cameras=7))) == pytest.approx(1, abs=0.02)


def test_poisson_gaps_vary_as_much_as_they_are_long_and_even_ones_do_not() -> None:
    poisson = gaps("poisson", Scene(seed=3))
    assert statistics.stdev(poisson) == pytest.approx(1, abs=0.05)
    assert sum(gap > 1 for gap in poisson) / len(poisson) == pytest.approx(math.exp(-1), abs=0.02)
    assert set(gaps("constant", Scene(seed=3))) == {1.0}


def test_a_camera_strays_no_further_than_its_jitter() -> None:
    found = gaps("cameras", Scene(seed=3, cameras=1, jitter=0.2))
    assert all(0.8 - 1e-9 <= gap <= 1.2 + 1e-9 for gap in found[1:])
    assert gaps("cameras", Scene(seed=3, cameras=4)) != gaps("cameras", Scene(seed=4, cameras=4))


def test_a_warm_up_comes_first_and_belongs_to_the_first_phase() -> None:
    due = list(schedule(plan(held([2.0, 4.0], 4.0), "constant", Scene(seed=1), warmup_s=1.0), 0, 1))
    assert due[:4] == [(0.0, 0), (0.5, 0), (1.0, 0), (1.5, 0)]
    assert [phase for due_s, phase in due if due_s >= 3] == [1] * 8


def test_after_the_end_comes_nothing() -> None:
    assert Clock(held([2.0], 1.0)).time_s(2.0) is None


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ("50", [(50, 50, 8)]),
        ("10..90", [(10, 90, 8)]),
        ("10, 20,40.5,80", [(10, 10, 2), (20, 20, 2), (40.5, 40.5, 2), (80, 80, 2)]),
        ("10..80/4", [(10, 10, 2), (20, 20, 2), (40, 40, 2), (80, 80, 2)]),
        ("5+50@2s+1s", [(5, 5, 2), (50, 50, 1), (5, 5, 5)]),
    ],
)
def test_loads_are_read(text: str, loads: list[tuple[float, float, float]]) -> None:
    found = [(p.first, p.last, p.seconds) for p in parse(text, 8.0).phases]
    assert [value for row in found for value in row] == pytest.approx([value for row in loads for value in row])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fast", '"fast" is no rate'),
        ("-1", '"-1" is no rate'),
        ("nan", '"nan" is no rate'),
        ("10..", '"" is no rate'),
        ("1..9/1", "give 2 to 200, for example 1..9/8"),
        ("5+50@2s", "is no spike"),
        ("5+50@7s+1s", "make --duration longer"),
        ("5+50@7x+1s", '"7x" is no time'),
    ],
)
def test_other_loads_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("+", r"\+").replace(".", r"\.")):
        parse(text, 8.0)
