"""gRPC with the inputs in shared memory that the server sees too: for a server on this machine.

All requests lie there from the start and are only read, so that any number may use the same one at the same time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kit.errors import ModelContractError
from kit.load.protocols._grpc import Calls, message
from kit.load.protocols.interface import Done
from kit.load.requests import Feed
from kit.load.values import ModelShare
from kit.stream.channel import Channel
from kit.stream.failures import CallFailedError, Failure, Trouble
from kit.stream.memory import FOLDER, Ring, create, sweep

_LATE_S = 30.0
"""A server that is asked to forget memory while a request that lies there is still in its queue would crash."""
_GONE = (Trouble.UNREACHABLE, Trouble.DEADLINE, Trouble.CANCELLED)


@dataclass(kw_only=True)
class Shared(Calls):
    """Requests of a hundred bytes."""

    rings: list[Ring] = field(default_factory=list)
    _under_way: int = 0
    _unanswered_s: float = float("-inf")

    def requests(self, share: ModelShare, feeds: Sequence[Feed], timeout_s: float) -> Sequence[bytes]:
        """Lay the inputs into a file in memory and tell the server of it."""
        made = [message(share, feed) for feed in feeds]
        ring = self._ring(max(sum(map(len, contents)) for _, contents in made), len(made), timeout_s)
        encoded = []
        for slot, (request, contents) in enumerate(made):
            ring.slot(slot, sum(map(len, contents)))[:] = b"".join(contents)
            offset = slot * ring.slot_bytes
            for tensor, content in zip(request.inputs, contents, strict=True):
                tensor.parameters["shared_memory_region"].string_param = ring.path.name
                tensor.parameters["shared_memory_byte_size"].int64_param = len(content)
                if offset:
                    tensor.parameters["shared_memory_offset"].int64_param = offset
                offset += len(content)
            encoded.append(bytes(request.SerializeToString()))
        return encoded

    def send(self, request: object, timeout_s: float) -> None:
        """Send bytes, and remember whether the server may still read what they speak of."""
        self._under_way += 1
        try:
            super().send(request, timeout_s)
        except CallFailedError:
            self._unanswered_s = time.monotonic()
            raise
        finally:
            self._under_way -= 1

    def submit(self, request: object, timeout_s: float, done: Done) -> None:
        """Submit bytes, and remember the same."""

        def ended(failure: Failure | None) -> None:
            self._under_way -= 1
            if failure is not None:
                self._unanswered_s = time.monotonic()
            done(failure)

        self._under_way += 1
        super().submit(request, timeout_s, ended)

    def close(self) -> None:
        """Let the server forget the memory, unless it may still read there; it goes with its last user."""
        idle = not self._under_way and time.monotonic() - self._unanswered_s > _LATE_S
        for ring in self.rings:
            if idle:
                with contextlib.suppress(CallFailedError):
                    self.channel.unregister(ring.path.name, 1.0)
            ring.remove()
        super().close()

    def _ring(self, byte_size: int, count: int, timeout_s: float) -> Ring:
        sweep()
        try:
            ring = create(byte_size, count)
        except OSError as error:
            raise ModelContractError(
                f"{FOLDER} has no {byte_size * count / 1e6:.0f} MB for the requests ({error.strerror}); "
                "leave out --protocol shm"
            ) from error
        self.rings.append(ring)
        try:
            self.channel.register(ring.path.name, f"/{ring.path.name}", ring.byte_size, timeout_s)
        except CallFailedError as error:
            if error.failure.trouble in _GONE:
                raise
            raise ModelContractError(
                f'the server takes no shared memory, it said "{error.failure.text}"; leave out --protocol shm'
            ) from error
        return ring


class SharedMemory:
    """The way with the fewest copies."""

    name = "shm"
    title = "gRPC with inputs in shared memory"
    url = "localhost:8001"
    options = ("-i", "grpc", "--shared-memory", "system")

    def connect(self, url: str) -> Shared:
        """Make a channel. Raises ``ModelContractError`` where the server is on another machine."""
        channel = Channel(url=url)
        if not channel.local:
            raise ModelContractError(
                f"the server at {channel.url} is on another machine, which shares no memory; leave out --protocol shm"
            )
        return Shared(channel=channel)


MEMBER = SharedMemory()
