"""The quick search of Triton's Model Analyzer, written anew as a peer: hill climbing over batch size and instances.

The rule is published in https://github.com/triton-inference-server/model_analyzer/blob/main/docs/config_search.md
("Quick Search Mode") and, in full, in model_analyzer/config/generate/quick_run_config_generator.py and neighborhood.py
(read at commit 63a0fec). In short: a point is (log2 of the largest batch, instances - 1) and begins at (0, 0); a
setting is measured by a closed loop of ``2 * batch * instances`` users; when three neighbours within a distance of 3
are known, the next home is one to three steps along each axis, by how much the neighbours in that direction gain; where
only some of them hold the constraints, all four adjacent ones are measured and the best becomes home; it ends where
home stays, or is visited again. Queue delay and threads are not searched: they stay as the configuration has them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

RADIUS = 3
MIN_INITIALIZED = 3
STEPS_AT = (0.09, 0.3, 1.0)
"""A mean gain above these is worth one, two and three steps."""
MOST_VISITS = 2
MOST_POINTS = 200
"""The original may go round for ever where homes cannot be measured (its own note: TMA-871); this ends there."""

Point: TypeAlias = "tuple[int, int]"


@dataclass(frozen=True, kw_only=True, order=True)
class Setting:
    """What is measured."""

    max_batch_size: int
    instances: int

    @property
    def users(self) -> int:
        """How many send at once."""
        return 2 * self.max_batch_size * self.instances


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a closed loop came to: requests a second, and the share by which the constraint is broken (0: it holds)."""

    rate: float
    excess: float

    @property
    def passes(self) -> bool:
        """Whether the constraint holds."""
        return self.excess <= 0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The most that may be set; points beyond it mean the same as those on it, as with Model Analyzer's options."""

    max_batch_size: int
    instances: int

    def setting(self, point: Point) -> Setting:
        """Return what a point stands for."""
        batch, instances = 2 ** point[0], point[1] + 1
        return Setting(max_batch_size=min(batch, self.max_batch_size), instances=min(instances, self.instances))


Measure: TypeAlias = "Callable[[Setting], Answer | None]"


@dataclass(frozen=True, kw_only=True)
class Climbed:
    """The best setting (None: none could be measured), and all that were measured, in their order."""

    best: Setting | None
    measured: dict[Setting, Answer | None]


@dataclass(kw_only=True)
class _Known:
    """What has been measured where; None is a measurement that failed."""

    answers: dict[Point, Answer | None] = field(default_factory=dict)
    visits: dict[Point, int] = field(default_factory=dict)
    best: Point = (0, 0)
    best_answer: Answer | None = None
    home_has_passed: bool = False

    def take(self, point: Point, home: Point, answer: Answer | None) -> None:
        """Keep an answer, and whether it is the best so far."""
        self.answers[point] = answer
        if answer is None:
            return
        if self.best_answer is None or beats(answer, self.best_answer):
            self.best, self.best_answer = point, answer
        if point == home and answer.passes:
            self.home_has_passed = True


def beats(one: Answer, other: Answer) -> bool:
    """Whether one is better: it passes, or has the higher rate of two that pass, or is nearer to passing."""
    if one.passes != other.passes:
        return one.passes
    return one.rate > other.rate if one.passes else one.excess < other.excess


@dataclass(kw_only=True)
class _Neighborhood:
    """The points around a home."""

    home: Point
    known: _Known
    forced_slow: bool = False
    points: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        self.points = tuple(_around(self.home))

    def others(self) -> list[tuple[Point, Answer]]:
        """Return those that have been measured, but for home."""
        answers = ((point, self.known.answers.get(point)) for point in self.points if point != self.home)
        return [(point, answer) for point, answer in answers if answer is not None]

    def adjacent(self) -> Iterator[Point]:
        """Yield the points one step away along an axis."""
        for axis, step in itertools.product((0, 1), (-1, 1)):
            point = _moved(self.home, axis, step)
            if min(point) >= 0:
                yield point

    def slow(self) -> bool:
        """Whether a border of the constraint runs through the points that are known."""
        if self.forced_slow:
            return True
        home = self.known.answers.get(self.home)
        if home is None:
            return False
        passing = [answer.passes for _, answer in self.others()]
        return not all(passing) if home.passes else any(passing)

    def enough(self) -> bool:
        """Whether a step can be taken."""
        if self.slow():
            return all(point in self.known.answers for point in self.adjacent())
        return len(self.others()) >= MIN_INITIALIZED

    def to_measure(self) -> Point | None:
        """Return the next one to know: with the most coordinates that no known one has; the first of equals."""
        left = [p for p in (self.adjacent() if self.slow() else self.points) if p not in self.known.answers]
        if self.slow() or not left:
            return left[0] if left else None
        covered = [{point[axis] for point, _ in self.others()} for axis in (0, 1)]
        return max(left, key=lambda point: sum(point[axis] not in covered[axis] for axis in (0, 1)))

    def next_home(self) -> Point:
        """Return where to go."""
        return self._best() if self.slow() else self._along()

    def nearest(self, point: Point) -> Point:
        """Return the member that is nearest to a point."""
        return min(self.points, key=lambda own: math.dist(own, point))

    def _best(self) -> Point:
        passing = [(answer.rate, point) for point, answer in self.others() if answer.passes]
        if not passing:
            return self.home
        home = self.known.answers.get(self.home)
        if home is not None and home.passes:
            passing.append((home.rate, self.home))
        return max(passing)[1]

    def _along(self) -> Point:
        home = self.known.answers[self.home]
        assert home is not None
        gains = [0.0, 0.0]
        lengths = [0, 0]
        for point, answer in self.others():
            for axis in (0, 1):
                step = point[axis] - self.home[axis]
                gains[axis] += _gain(home, answer) * (step > 0) - _gain(home, answer) * (step < 0)
                lengths[axis] += abs(step)
        steps = [_steps(gain / length) if length else 0 for gain, length in zip(gains, lengths, strict=True)]
        return max(0, self.home[0] + steps[0]), max(0, self.home[1] + steps[1])


class _Climb:
    """The search between two measurements: where it is, and where it goes."""

    def __init__(self) -> None:
        self.known = _Known()
        self.home: Point = (0, 0)
        self.around = _Neighborhood(home=self.home, known=self.known)
        self.point: Point | None = self.home

    def take(self, answer: Answer | None) -> None:
        """Keep what was measured at ``point``."""
        assert self.point is not None
        self.known.take(self.point, self.home, answer)

    def step(self) -> None:
        """Choose the next ``point``; None is the end."""
        if self._too_far():
            back = self.around.nearest(self.known.best)
            self._move(back, forced_slow=True, done=back == self.home)
        elif self.around.enough():
            home = self.around.next_home()
            self._move(home, done=home == self.home or self.known.visits.get(home, 0) >= MOST_VISITS)
        else:
            self.point = self.around.to_measure()

    def _too_far(self) -> bool:
        """Whether a home was reached that cannot be measured, or breaks a constraint that an earlier one held."""
        if self.point != self.home:
            return False
        answer = self.known.answers.get(self.home)
        return answer is None or (not answer.passes and self.known.home_has_passed)

    def _move(self, home: Point, *, done: bool, forced_slow: bool = False) -> None:
        self.home, self.point = home, None if done else home
        self.around = _Neighborhood(home=home, known=self.known, forced_slow=forced_slow)
        self.known.visits[home] = self.known.visits.get(home, 0) + 1


def climb(measure: Measure, bounds: Bounds, default: Answer | None = None) -> Climbed:
    """Search; ``measure`` is asked once for each setting. ``default`` is the answer of the configuration as it was.

    As in Model Analyzer, the default's answer stands for the first point until that has been measured.
    """
    search, measured = _Climb(), dict[Setting, "Answer | None"]()
    if default is not None:
        search.take(default)
    for _ in range(MOST_POINTS):
        if search.point is None:
            break
        setting = bounds.setting(search.point)
        if setting not in measured:
            measured[setting] = measure(setting)
        search.take(measured[setting])
        search.step()
    best: Setting | None = None
    for setting, answer in measured.items():
        known = measured[best] if best is not None else None
        if answer is not None and (known is None or beats(answer, known)):
            best = setting
    return Climbed(best=best, measured=measured)


def _around(home: Point) -> Iterator[Point]:
    """Yield the points within the radius, in the original's order: of equals the first is preferred."""
    for first, second in itertools.product(range(RADIUS + 1), repeat=2):
        if math.hypot(first, second) > RADIUS:
            continue
        turn = -1 if second % 2 else 1
        signs = ((turn, 1), (turn, -1), (-turn, -1), (-turn, 1))
        for step in dict.fromkeys((first * one, second * other) for one, other in signs):
            point = (home[0] + step[0], home[1] + step[1])
            if min(point) >= 0:
                yield point


def _moved(point: Point, axis: int, step: int) -> Point:
    return (point[0] + step, point[1]) if axis == 0 else (point[0], point[1] + step)


def _gain(home: Answer, other: Answer) -> float:
    """Return how much better another answer is: by rate where both pass, by excess where none does, else 0."""
    if home.passes and other.passes:
        mean = (home.rate + other.rate) / 2
        return (other.rate - home.rate) / mean if mean else 0.0
    return 0.0 if home.passes or other.passes else home.excess - other.excess


def _steps(gain: float) -> int:
    """Return how many steps a mean gain is worth."""
    return int(math.copysign(sum(abs(gain) > bound for bound in STEPS_AT), gain))
