"""How the pipeline tells what it is doing; the command line shows it, a library user may ignore it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Receives what happens."""

    def working(self, what: str) -> AbstractContextManager[object]:
        """Return a context that lasts as long as ``what`` does."""

    def done(self, stage: str, result: str, seconds: float, *, cached: bool) -> None:
        """Tell that a stage has ended, and what came out of it in a few words."""

    def note(self, text: str) -> None:
        """Tell something that the user should know."""


class Silent:
    """Shows nothing."""

    def working(self, what: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Last."""
        return nullcontext()

    def done(self, stage: str, result: str, seconds: float, *, cached: bool) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""
