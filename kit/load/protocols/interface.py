"""What a protocol knows: to ask a server what it has and has counted, and to send requests that were made before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from kit.load.requests import Feed
from kit.load.values import ModelShare
from kit.stream.failures import CallFailedError, Failure
from kit.types import Signature

Done: TypeAlias = "Callable[[Failure | None], None]"
"""Is told once what became of a request; None: it was answered."""


@dataclass(frozen=True, kw_only=True)
class BatchCount:
    """How often a batch of one size was computed, and how long that took in all."""

    executions: int
    compute_ns: int


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a server has counted of a model since it was loaded; its own words of ``ModelStatistics``.

    Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
    """

    requests: int
    failed: int
    inferences: int
    executions: int
    request_ns: int
    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int
    batches: dict[int, BatchCount] = field(default_factory=dict)


class Connection(Protocol):
    """A way to one server. Raises ``kit.stream.failures.CallFailedError`` where a call fails; threads may share it."""

    def signature(self, share: ModelShare, timeout_s: float) -> Signature:
        """Return what a model takes and gives, by its metadata."""

    def models(self, timeout_s: float) -> tuple[str, ...]:
        """Return the names of the models that are ready."""

    def counted(self, share: ModelShare, timeout_s: float) -> Counted:
        """Return the server's statistics of a model."""

    def requests(self, share: ModelShare, feeds: Sequence[Feed], timeout_s: float) -> Sequence[object]:
        """Encode inputs; what is returned can be sent any number of times, at the same time too."""

    def send(self, request: object, timeout_s: float) -> None:
        """Send what ``requests`` made and wait for the whole answer."""

    def submit(self, request: object, timeout_s: float, done: Done) -> None:
        """Send what ``requests`` made and return at once. Where gevent runs only; ``done`` must not wait."""

    def close(self) -> None:
        """Give back what this machine and the server hold."""


class Waiting:
    """A connection that knows only to wait: each request has a greenlet that does."""

    def send(self, request: object, timeout_s: float) -> None:
        """Send and wait."""
        raise NotImplementedError

    def submit(self, request: object, timeout_s: float, done: Done) -> None:
        """Let a greenlet send."""
        from gevent import spawn

        spawn(self._sent, request, timeout_s, done)

    def _sent(self, request: object, timeout_s: float, done: Done) -> None:
        failure = None
        try:
            self.send(request, timeout_s)
        except CallFailedError as error:
            failure = error.failure
        done(failure)


@runtime_checkable
class Wire(Protocol):
    """A protocol. ``title`` is for people, ``url`` the usual address; perf_analyzer has ``options`` for it."""

    name: str
    title: str
    url: str
    options: tuple[str, ...]

    def connect(self, url: str) -> Connection:
        """Return a connection; nothing is sent yet. Raises ``UsageError`` where ``url`` is no address."""
