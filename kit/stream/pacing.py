"""How fast to go on after failures: at once after the first, then slower and slower, with jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(kw_only=True)
class Pace:
    """Consecutive failures and the pause that follows them. Times in seconds of any monotonic clock.

    Without it a loop spins: a call to a server that is not there fails in half a millisecond.
    """

    first_s: float = 0.05
    longest_s: float = 0.4
    failures: int = 0
    not_before_s: float = 0.0

    def failed(self, now_s: float, *, least_s: float = 0.0) -> None:
        """Pause: twice as long each time, from half of that to all of it by chance, so that clients spread."""
        self.failures += 1
        full = min(self.longest_s, self.first_s * 2 ** min(self.failures - 1, 16))
        pause = max(least_s, full * random.uniform(0.5, 1))  # noqa: S311 (no secret)
        self.not_before_s = max(self.not_before_s, now_s + pause)

    def succeeded(self) -> None:
        """Go on at once."""
        self.failures, self.not_before_s = 0, 0.0
