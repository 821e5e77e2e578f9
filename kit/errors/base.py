"""What every error of the kit is, and how a message ends that names what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class KitError(Exception):
    """A user's mistake or an environment's fault: shown as one line, never as a traceback."""

    exit_code: ClassVar[int] = 1
    listed: ClassVar[bool] = False
    """Whether the message has a line for each of several problems, and is printed as it stands."""


def suggestion(word: str, choices: Iterable[str]) -> str:
    """Return ``'did you mean "x"? '`` or nothing, followed by all ``choices``; for the end of a message."""
    known = sorted(choices)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return (f'did you mean "{near[0]}"? ' if near else "") + f"choose from {', '.join(known)}"
