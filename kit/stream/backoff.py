"""How long to wait before another connection: full jitter under a growing cap.

Cameras of one site fail together, when their switch or recorder restarts; waits of random length spread their return.
Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random

FLOOR_S = 0.05
BASE_S = 0.5
QUICK_CAP_S = 1.0
QUICK_FAILURES = 30
CAP_S = 10.0
PERMANENT_CAP_S = 60.0


class Backoff:
    """Counts one camera's failures in a row."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._random = source or random.Random()  # noqa: S311 (it spreads load and guards nothing)
        self.failures = 0

    def next_s(self, *, permanent: bool) -> float:
        """Count a failure; return a wait between ``FLOOR_S`` and ``BASE_S * 2**failures``, capped.

        The cap is ``QUICK_CAP_S`` for the first ``QUICK_FAILURES``, some 15 s in which most restarts are over, then
        ``CAP_S``. It is ``PERMANENT_CAP_S`` where somebody must act before another try can succeed; such a wait is at
        least half of its bound, as jitter to nearly nothing would hammer a camera that counts wrong passwords.
        """
        bound = bound_s(self.failures, permanent=permanent)
        self.failures += 1
        return max(FLOOR_S, self._random.uniform(bound / 2 if permanent else 0.0, bound))

    def reset(self) -> None:
        """Forget the failures: the camera has worked for a while."""
        self.failures = 0


def bound_s(failures: int, *, permanent: bool) -> float:
    """Return the longest wait after so many failures."""
    if permanent:
        return min(PERMANENT_CAP_S, BASE_S * 8 * 2.0 ** min(failures, 16))
    return min(QUICK_CAP_S if failures < QUICK_FAILURES else CAP_S, BASE_S * 2.0 ** min(failures, 16))
