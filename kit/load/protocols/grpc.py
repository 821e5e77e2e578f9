"""gRPC with the inputs in the requests: always there, on any machine."""

from __future__ import annotations

from collections.abc import Sequence

from kit.load.protocols._grpc import Calls, message
from kit.load.requests import Feed
from kit.load.values import ModelShare
from kit.stream.channel import Channel


class Inline(Calls):
    """Whole requests are encoded once."""

    def requests(self, share: ModelShare, feeds: Sequence[Feed], timeout_s: float) -> Sequence[bytes]:  # noqa: ARG002
        """Encode."""
        made = []
        for feed in feeds:
            request, contents = message(share, feed)
            request.raw_input_contents.extend(contents)
            made.append(bytes(request.SerializeToString()))
        return made


class Grpc:
    """The usual way."""

    name = "grpc"
    title = "gRPC"
    url = "localhost:8001"
    options = ("-i", "grpc")

    def connect(self, url: str) -> Inline:
        """Make a channel."""
        return Inline(channel=Channel(url=url))


MEMBER = Grpc()
