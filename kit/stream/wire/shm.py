"""Frames in memory that the server sees too: a request is a hundred bytes, and a frame is written once.

A ring of slots, one for each request at once, in one file in /dev/shm that is mapped here and by the server
(system shared memory, docs/protocol/extension_shared_memory.md of Triton's server). Answers travel in the messages: a
server that wakes after its client has given up may still read a slot, which harms nobody, but must never write to one.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.stream import framing
from kit.stream.channel import Channel
from kit.stream.failures import CallFailedError, Trouble
from kit.stream.framing import Region
from kit.stream.memory import FOLDER, Ring, create, sweep
from kit.stream.pixels import Packer, Sheet
from kit.stream.wire.interface import NotOfferedError, Offer, Parcel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_EXTENSION = "system_shared_memory"
_LATE_S = 30.0
"""A server that is asked to forget a region while a request that lies there is still in its queue would crash."""


@dataclass(kw_only=True)
class SharedMemoryCarrier:
    """A ring that the server knows."""

    name: str
    reason: str
    channel: Channel
    timeout_s: float
    ring: Ring
    headers: tuple[bytes, ...] = field(repr=False)
    sheets: tuple[Sheet, ...] = field(repr=False)
    _free: deque[int] = field(repr=False)
    _unanswered_s: float = float("-inf")

    def pack(self, image: npt.NDArray[np.uint8]) -> Parcel:
        """Write the frame into a free slot; there is one for each request that may be under way."""
        index = self._free.popleft()
        try:
            box = self.sheets[index].write(image)
        except BaseException:
            self._free.append(index)
            raise
        return Parcel(parts=(self.headers[index],), letterbox=box, slot=index)

    def release(self, parcel: Parcel, *, answered: bool) -> None:
        """Use the slot again."""
        if not answered:
            self._unanswered_s = time.monotonic()
        self._free.append(parcel.slot)

    def close(self) -> None:
        """Let the server forget the ring, unless it may still read there, and remove the file.

        The memory itself goes when the last one has let go of it.
        """
        if time.monotonic() - self._unanswered_s > _LATE_S:
            with contextlib.suppress(CallFailedError):  # then it has forgotten already
                self.channel.unregister(self.ring.path.name, self.timeout_s)
        self.ring.remove()


class SharedMemory:
    """The wire to a server on the same machine."""

    name = "shm"
    title = "shared memory"
    rank = 10

    def open(self, offer: Offer) -> SharedMemoryCarrier:
        """Make a ring and show it to the server."""
        if not offer.channel.local:
            raise NotOfferedError("the server is on another machine")
        if _EXTENSION not in offer.contract.extensions:
            raise NotOfferedError("the server offers none")
        sweep()
        layout = offer.contract.pixels
        try:
            ring = create(layout.byte_size, offer.slots)
        except OSError as error:
            needed = layout.byte_size * offer.slots / 1e6
            raise NotOfferedError(f"{FOLDER} has no {needed:.0f} MB for it ({error.strerror})") from error
        try:
            offer.channel.register(ring.path.name, f"/{ring.path.name}", ring.byte_size, offer.timeout_s)
        except CallFailedError as error:
            ring.remove()
            if error.failure.trouble in (Trouble.UNREACHABLE, Trouble.DEADLINE, Trouble.CANCELLED):
                raise
            raise NotOfferedError(f'the server said "{error.failure.text}"') from error
        return _carrier(self.name, offer, ring)


def _carrier(name: str, offer: Offer, ring: Ring) -> SharedMemoryCarrier:
    contract, packer = offer.contract, Packer(layout=offer.contract.pixels)
    slots = range(ring.count)
    regions = [Region(name=ring.path.name, offset=index * ring.slot_bytes) for index in slots]
    return SharedMemoryCarrier(
        name=name,
        reason="shared memory, because the server is on this machine",
        channel=offer.channel,
        timeout_s=offer.timeout_s,
        ring=ring,
        headers=tuple(framing.header(contract.model, contract.version, contract.pixels, r) for r in regions),
        sheets=tuple(packer.sheet(ring.slot(index, contract.pixels.byte_size)) for index in slots),
        _free=deque(slots),
    )


MEMBER = SharedMemory()
