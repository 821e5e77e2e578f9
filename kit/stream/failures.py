"""What a failed call means: gRPC's codes and Triton's words are read here and nowhere else.

The words are those of Triton 2.51 as it was heard, and of the sources of later ones.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc


class Trouble(enum.Enum):
    """What to do about it."""

    UNREACHABLE = "unreachable"
    """No server answers: wait until one does."""
    NOT_READY = "not ready"
    """The server answers, the model does not yet: it is loading, or being replaced."""
    UNKNOWN_MODEL = "unknown model"
    """The server knows no such model or version."""
    MISFIT = "misfit"
    """The request does not fit the model (any more): read again what it takes."""
    REGION = "region"
    """The server does not know the shared memory (any more), or does not want any."""
    BUSY = "busy"
    """Too much work: slow down."""
    DEADLINE = "deadline"
    """No answer in time."""
    CANCELLED = "cancelled"
    """We gave up ourselves."""
    DENIED = "denied"
    """The server answers only those who show a key or a certificate."""
    FAILED = "failed"
    """The model failed on this frame."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed call: what to do, and why in one line."""

    trouble: Trouble
    text: str

    @property
    def resend(self) -> bool:
        """Whether the same frame may fare better soon; a frame on which the model failed may not."""
        return self.trouble in _RESENT

    @property
    def doubtful(self) -> bool:
        """Whether what was agreed with the server may hold no longer, so that it is agreed anew."""
        return self.trouble in _DOUBTFUL


CLOSED = Failure(trouble=Trouble.CANCELLED, text="the connection was closed")
"""What a call on a closed channel means; grpc raises ``ValueError`` there."""


class CallFailedError(Exception):
    """A call to the server failed. It is met inside ``kit.stream`` only: users see events and ``KitError``."""

    def __init__(self, failure: Failure) -> None:
        """Keep what it means."""
        super().__init__(failure.text)
        self.failure = failure


_RESENT = frozenset(
    {Trouble.UNREACHABLE, Trouble.NOT_READY, Trouble.UNKNOWN_MODEL, Trouble.MISFIT, Trouble.REGION, Trouble.BUSY}
)

_DOUBTFUL = (_RESENT | {Trouble.DENIED}) - {Trouble.BUSY}

_BY_WORDS = (
    # Triton evicts a request from its queue with UNAVAILABLE, and refuses one to a full queue with the same code.
    ("request timeout expired", Trouble.DEADLINE),
    ("exceeds maximum queue size", Trouble.BUSY),
    ("shared memory region", Trouble.REGION),
    ("client-shm", Trouble.REGION),  # --allow-client-shm, off by default since Triton 2.68
    ("has no available versions", Trouble.NOT_READY),
    ("is not ready", Trouble.NOT_READY),
    ("unknown model", Trouble.UNKNOWN_MODEL),
    ("is not found", Trouble.UNKNOWN_MODEL),
)

_SHORT = (
    (r".*Failed to connect to remote host: (.+)", r"\1"),
    (r".*lookup failed for .*: ([^:\]]+)\]?", r"\1"),
    (r".*Tls handshake failed.*", r"the TLS handshake failed"),
    (r"failed to connect .*Socket closed", r"it hangs up on gRPC, whose port is 8001 by default; 8000 is HTTP's"),
)
"""gRPC's own words for a server that cannot be reached hold the reason at their end, if at all."""

_BY_CODE = {
    "UNAVAILABLE": Trouble.UNREACHABLE,
    "NOT_FOUND": Trouble.UNKNOWN_MODEL,
    "INVALID_ARGUMENT": Trouble.MISFIT,
    "RESOURCE_EXHAUSTED": Trouble.BUSY,
    "DEADLINE_EXCEEDED": Trouble.DEADLINE,
    "CANCELLED": Trouble.CANCELLED,
    "UNAUTHENTICATED": Trouble.DENIED,
    "PERMISSION_DENIED": Trouble.DENIED,
    "UNIMPLEMENTED": Trouble.DENIED,
}


def classify(code: str, details: str) -> Failure:
    """Return what a gRPC status means. ``code`` is its name (``UNAVAILABLE``), ``details`` the server's words."""
    text = " ".join(details.split()) or code
    text = next((said.expand(short) for said, short in _spoken(text)), text)
    lowered = text.lower()
    trouble = next((t for words, t in _BY_WORDS if words in lowered), None) or _BY_CODE.get(code, Trouble.FAILED)
    return Failure(trouble=trouble, text=text.removeprefix("[request id: <id_unknown>] "))


def _spoken(text: str) -> Iterator[tuple[re.Match[str], str]]:
    for pattern, short in _SHORT:
        if (match := re.fullmatch(pattern, text)) is not None:
            yield match, short


def of_call(error: grpc.RpcError | grpc.FutureCancelledError | CallFailedError) -> Failure:
    """Return what an exception of a call means."""
    if isinstance(error, CallFailedError):
        return error.failure
    if not hasattr(error, "code"):
        return Failure(trouble=Trouble.CANCELLED, text="the request was cancelled")
    return classify(error.code().name, error.details() or "")
