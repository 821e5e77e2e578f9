"""Where candidates are served while they are measured: one file per kind of place."""

from __future__ import annotations

from contextlib import AbstractContextManager

from kit import axis
from kit.tune.places.interface import Announce, Place, Places
from kit.tune.subject import Subject
from kit.tune.values import Job


def names() -> tuple[str, ...]:
    """Return the kinds' names."""
    return axis.names(__name__)


def get(name: str) -> Places:
    """Return the kind of that name, which is one of ``names()``."""
    kind = axis.member(__name__, name)
    assert isinstance(kind, Places)
    return kind


def opened(job: Job, subject: Subject, announce: Announce = lambda _: None) -> AbstractContextManager[Place]:
    """Open the place of a job. Raises as ``Places.opened`` does."""
    kind = next(kind for kind in map(get, names()) if kind.suits(job))
    return kind.opened(job, subject, announce)
