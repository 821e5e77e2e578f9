"""Times, shares and rates as people write them: ``50ms``, ``2m``, ``0.1%``."""

from __future__ import annotations

import math
import re

from kit.errors import UsageError

_NUMBER = r"(?P<number>[0-9]*\.?[0-9]+)"
_TIMES_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def milliseconds(text: str) -> float:
    """Return a latency in milliseconds, which is also what a bare number means. Raises ``UsageError``."""
    return _time_s(text, bare_s=1e-3, example="50ms") * 1e3


def seconds(text: str) -> float:
    """Return a duration in seconds, which is also what a bare number means. Raises ``UsageError``."""
    return _time_s(text, bare_s=1.0, example="30s, 5m or 8h")


def share(text: str) -> float:
    """Return a share from 0 to 1 of ``0.1%`` or ``0.001``. Raises ``UsageError``."""
    match = re.fullmatch(_NUMBER + r"\s*(?P<percent>%?)", text.strip())
    value = float(match["number"]) / (100 if match["percent"] else 1) if match else 2.0
    if not 0 <= value <= 1:
        raise UsageError(f'"{text}" is no share; give 0.1% or 0.001')
    return value


def number(text: str, what: str) -> float:
    """Return a number above 0. Raises ``UsageError``, which calls it ``what``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f'"{text}" is no {what}; give a number above 0')
    return value


def _time_s(text: str, *, bare_s: float, example: str) -> float:
    match = re.fullmatch(_NUMBER + r"\s*(?P<unit>us|ms|min|s|m|h)?", text.strip())
    if match is None or float(match["number"]) == 0:
        raise UsageError(f'"{text}" is no time; give {example}')
    return float(match["number"]) * (_TIMES_S[match["unit"]] if match["unit"] else bare_s)
