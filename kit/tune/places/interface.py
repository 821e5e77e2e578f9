"""What a place offers: a server that takes candidates, one after another, and is left as it was found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, runtime_checkable

from kit.tune.subject import Subject
from kit.tune.values import Candidate, Job

Announce: TypeAlias = Callable[[str], None]


class Place(Protocol):
    """A server that a candidate can be loaded into."""

    @property
    def url(self) -> str:
        """Return where requests go, as ``kit.load`` takes it for gRPC."""

    @property
    def shared(self) -> bool:
        """Return whether the load is made on the machine that serves."""

    def load(self, candidate: Candidate) -> None:
        """Serve a candidate from now on.

        Raises ``ModelLoadError`` with Triton's reason where the server refuses it, and ``ServerDiedError`` where it
        died of it. Nothing is to be measured then.
        """

    def recover(self) -> str:
        """Make a server answer again after something failed; return what had happened, or nothing.

        Raises ``ServerDiedError`` where none comes back.
        """

    def memory_bytes(self) -> int | None:
        """Return the memory of the server and its children that is resident now; None where it is not to be seen."""


@runtime_checkable
class Places(Protocol):
    """A kind of place."""

    name: str

    def suits(self, job: Job) -> bool:
        """Return whether a job is done in a place of this kind."""

    def opened(self, job: Job, subject: Subject, announce: Announce) -> AbstractContextManager[Place]:
        """Open a place; after the block everything is as it was.

        Raises ``TuneError`` where the server does not let itself be controlled, ``NotReadyError`` where none answers,
        ``UnknownModelError`` where it has no such model, and what ``kit.server.interface.Engine.start`` raises.
        """
