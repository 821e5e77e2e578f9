"""Frames of HTTP/2: what a gRPC call begins with, and what is read of a connection.

Source: RFC 9113; for the calls https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kit.load.protocols import _hpack

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITY = 4, 8, 32
HEAD = 9
MOST = 2**31 - 1
"""The largest window, and the largest number of a stream."""
USUAL_WINDOW, USUAL_FRAME = 65_535, 16_384
MANY_STREAMS, INITIAL_WINDOW, FRAME_SIZE = 3, 4, 5
_TABLE_SIZE, _PUSH = 1, 2
CANCEL = 8


@dataclass(frozen=True)
class Frame:
    """A frame that has come whole."""

    kind: int
    flags: int
    stream: int
    content: bytes


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """Return a frame."""
    return head(len(content), kind, flags) + stream.to_bytes(4, "big") + content


def head(length: int, kind: int, flags: int) -> bytes:
    """Return what stands before a frame's stream."""
    return length.to_bytes(3, "big") + bytes([kind, flags])


def opening() -> bytes:
    """Return how a client begins: no table for headers, and windows that answers never fill."""
    wanted = ((_TABLE_SIZE, 0), (_PUSH, 0), (INITIAL_WINDOW, MOST), (FRAME_SIZE, 1 << 20))
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in wanted))
        + window(MOST - USUAL_WINDOW)
    )


def window(more: int) -> bytes:
    """Return that the connection may bring so many bytes more."""
    return frame(WINDOW, 0, 0, more.to_bytes(4, "big"))


def settings(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield numbers and values of a SETTINGS frame."""
    whole = len(content) // 6 * 6
    yield from struct.iter_unpack(">HI", content[:whole])


def calling(authority: str, path: str, timeout_s: float) -> bytes:
    """Return the header block of a call; it changes no table, so that it may be sent any number of times."""
    timeout = f"{round(timeout_s * 1e3)}m" if timeout_s < 1e5 else f"{round(timeout_s)}S"  # at most eight digits
    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            _hpack.literal(4, path),
            _hpack.literal(1, authority),
            _hpack.literal("te", "trailers"),
            _hpack.literal(31, "application/grpc"),  # content-type
            _hpack.literal(58, "kit-load"),  # user-agent
            _hpack.literal("grpc-timeout", timeout),
        )
    )


def unpadded(found: Frame) -> bytes:
    """Return a HEADERS frame's block without what may stand around it. Raises ``ValueError`` where it is broken."""
    content, end = found.content, len(found.content)
    place = 0
    if found.flags & PADDED:
        if not content:
            raise ValueError("a frame is broken")
        place, end = 1, end - content[0]
    if found.flags & PRIORITY:
        place += 5
    if place > end:
        raise ValueError("a frame is broken")
    return content[place:end]
