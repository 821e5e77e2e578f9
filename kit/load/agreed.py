"""What ``kit load`` and the locust that it starts have agreed upon."""

from __future__ import annotations

from dataclasses import dataclass

PLAN = "KIT_LOAD_PLAN"
"""The variable with the plan, as JSON."""
PIPE = "KIT_LOAD_PIPE"
"""The variable with the file descriptor that messages are written to, one a line, as JSON."""
COUNTS = "kit-counts"
PLANNED = "kit-plan"
ENDING = "kit-end"
"""Names of messages between a master and its workers."""
BAD_OPENING = 71
"""The exit code of a process that could not connect; the reason is the last line on its standard error."""
BORN, GONE = "+", "-"
"""Before a process' number, and before its exit code: lines among the messages, when it begins and has ended."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A locust that is asked for: its command line, and variables to be set."""

    words: tuple[str, ...]
    variables: dict[str, str]
