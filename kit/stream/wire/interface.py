"""What a wire knows: whether a frame can travel by it, and how a frame becomes a part of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kit.stream.channel import Channel
from kit.stream.contract import ModelContract
from kit.stream.letterbox import Letterbox

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class NotOfferedError(Exception):
    """A wire cannot be used here; the message says why, in a phrase. It ends inside ``kit.stream.wire``."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a wire has to work with. ``slots`` is how many requests there are at once, ``timeout_s`` for a call."""

    channel: Channel
    contract: ModelContract
    slots: int
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A frame, ready to travel: joined, ``parts`` are a request without its timeout. ``slot`` is the carrier's own."""

    parts: tuple[bytes | memoryview, ...]
    letterbox: Letterbox
    slot: int = 0


class Carrier(Protocol):
    """A wire that was opened for a model: ``pack`` in one thread, ``release`` in any, once for each parcel."""

    name: str
    reason: str

    def pack(self, image: npt.NDArray[np.uint8]) -> Parcel:
        """Take a frame [H, W, 3], RGB; after that the image is not looked at again, the parcel's parts are."""

    def release(self, parcel: Parcel, *, answered: bool) -> None:
        """Take a parcel back whose request has ended. Without an answer the server may still be busy with it."""

    def close(self) -> None:
        """Give back what the server and this machine hold. Every parcel was released."""


@runtime_checkable
class Wire(Protocol):
    """One way for frames to travel. ``rank`` orders the ways, the cheapest first; ``title`` is for people."""

    name: str
    title: str
    rank: int

    def open(self, offer: Offer) -> Carrier:
        """Return a carrier. Raises ``NotOfferedError`` with the reason, or ``CallFailedError`` without a server."""
