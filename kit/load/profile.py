"""How much load there is when: phases in which it is held or changes evenly.

Where arrivals come with rate r(t), as many of them lie before t as R(t), the integral of r from 0 to t. So arrivals
of one a second at points u become those of any profile at the times R^-1(u): a Poisson process stays one, and evenly
spaced points stay evenly spaced in the profile's own measure.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from kit.errors import UsageError
from kit.load import quantities

_MOST_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Load that goes from ``first`` to ``last`` (requests a second, or users) in ``seconds``."""

    first: float
    last: float
    seconds: float

    @property
    def amount(self) -> float:
        """How many requests come in this phase."""
        return (self.first + self.last) / 2 * self.seconds

    def at(self, seconds: float) -> float:
        """Return the load at a moment of the phase."""
        return self.first + (self.last - self.first) * min(1.0, seconds / self.seconds)

    def moment_s(self, amount: float) -> float:
        """Return when so many have come, in seconds since the phase's start: the root of r t + (r' - r) t^2 / 2T."""
        if amount <= 0:
            return 0.0
        slope = (self.last - self.first) / self.seconds
        # This form of the root has no difference of near numbers, and is right for a slope of 0 too.
        return 2 * amount / (self.first + math.sqrt(max(0.0, self.first**2 + 2 * slope * amount)))


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Phases, one after another."""

    phases: tuple[Phase, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def peak(self) -> float:
        """The most load that there is at any time."""
        return max(max(phase.first, phase.last) for phase in self.phases)

    @property
    def steps(self) -> bool:
        """Whether there are several phases that each hold their load."""
        return len(self.phases) > 1 and all(phase.first == phase.last for phase in self.phases)

    def at(self, seconds: float) -> tuple[float, int]:
        """Return the load at a time and the number of its phase; after the end, those of the end."""
        start = 0.0
        for number, phase in enumerate(self.phases):
            if seconds < start + phase.seconds:
                return phase.at(seconds - start), number
            start += phase.seconds
        return self.phases[-1].last, len(self.phases) - 1

    def preceded(self, seconds: float) -> Profile:
        """Return the same after ``seconds`` of warm-up at the load that it begins with; none for 0."""
        first = self.phases[0].first or self.phases[0].last
        return Profile(phases=(Phase(first=first, last=first, seconds=seconds), *self.phases)) if seconds else self


class Clock:
    """Finds the times of points that ascend; each phase is left behind once."""

    def __init__(self, profile: Profile) -> None:
        self._phases = profile.phases
        self._number, self._before, self._start_s = 0, 0.0, 0.0

    def time_s(self, point: float) -> tuple[float, int] | None:
        """Return when a point of the unit process comes, and in which phase; None after the end."""
        while self._number < len(self._phases):
            phase = self._phases[self._number]
            inside = point - self._before
            if inside < phase.amount:
                return self._start_s + phase.moment_s(inside), self._number
            self._before += phase.amount
            self._start_s += phase.seconds
            self._number += 1
        return None


def parse(text: str, seconds: float, what: str = "rate") -> Profile:
    """Read a load: ``100`` (held), ``10..200`` (a ramp), ``10,20,50`` (steps), ``10..200/8`` (8 steps, even in ratio).

    ``50+500@10s+2s`` is 50 with a spike of 500 that begins after 10 s and lasts 2 s. All in ``seconds``. Raises
    ``UsageError``, which calls the load ``what``.
    """
    if "@" in text:
        return _spike(text, seconds, what)
    if "," in text:
        return held([quantities.number(part, what) for part in text.split(",")], seconds)
    if ".." not in text:
        return held([quantities.number(text, what)], seconds)
    first, _, rest = text.partition("..")
    last, _, count = rest.partition("/")
    low, high = quantities.number(first, what), quantities.number(last, what)
    if not count:
        return Profile(phases=(Phase(first=low, last=high, seconds=seconds),))
    if not count.isdigit() or not 2 <= int(count) <= _MOST_STEPS:
        raise UsageError(f'"{text}" has "{count}" steps; give 2 to {_MOST_STEPS}, for example {first}..{last}/8')
    ratio = (high / low) ** (1 / (int(count) - 1))
    return held([low * ratio**step for step in range(int(count))], seconds)


def held(loads: list[float], seconds: float) -> Profile:
    """Return steps of the same length."""
    return Profile(phases=tuple(Phase(first=load, last=load, seconds=seconds / len(loads)) for load in loads))


def _spike(text: str, seconds: float, what: str) -> Profile:
    match = re.fullmatch(r"([^+@]+)\+([^+@]+)@([^+@]+)\+([^+@]+)", text)
    if match is None:
        raise UsageError(f'"{text}" is no spike; give 50+500@10s+2s: 50, and 500 after 10 s for 2 s')
    usual, spike = quantities.number(match[1], what), quantities.number(match[2], what)
    start, length = quantities.seconds(match[3]), quantities.seconds(match[4])
    if start + length >= seconds:
        raise UsageError(f'the spike of "{text}" ends after {start + length:g} s; make --duration longer than that')
    parts = ((usual, start), (spike, length), (usual, seconds - start - length))
    return Profile(phases=tuple(Phase(first=load, last=load, seconds=each) for load, each in parts))
