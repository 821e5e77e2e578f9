"""A connection that carries gRPC calls under gevent, in one thread and with as little as a call needs.

grpc hands each answer from a thread of its own to gevent's loop, which costs more than the call itself. Here a request,
encoded long before, is a write, and many answers are one read; of an answer nothing but its status is looked at.
"""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.load.protocols import _frames, _hpack
from kit.load.protocols._frames import Frame
from kit.load.protocols.interface import Done
from kit.stream.failures import CLOSED, Failure, Trouble, classify

if TYPE_CHECKING:
    import socket

_READ = 1 << 18
_PARTS = 128
"""Pieces that are written at once."""
_LOOK_S = 0.02
_PREFIX = 5
_LAST = _frames.END_STREAM | _frames.END_HEADERS
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_RESETS = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED"}
LATE = classify("DEADLINE_EXCEEDED", "Deadline Exceeded")


@dataclass(slots=True)
class Body:
    """A request that is being sent: what is left of it, and how much the server takes now."""

    stream: int
    left: memoryview
    window: int
    begun: bool = False


class Line:
    """Calls on a connected socket, which does not block. Streams are numbered by it."""

    def __init__(self, connected: socket.socket) -> None:
        from gevent import get_hub, spawn

        self._socket = connected
        self._hub = get_hub()
        self._readable = self._hub.loop.io(connected.fileno(), 1)
        self._writable = self._hub.loop.io(connected.fileno(), 2)
        self._done: dict[int, Done] = {}
        self._due: deque[tuple[float, int]] = deque()
        self._bodies: deque[Body] = deque()
        self._waiting: deque[tuple[bytes, bytes, float, Done]] = deque()
        self._out: deque[bytes | memoryview] = deque([_frames.opening()])
        self._next, self._window, self._initial = 1, _frames.USUAL_WINDOW, _frames.USUAL_WINDOW
        self._frame, self._most, self._came = _frames.USUAL_FRAME, _frames.MOST, 0
        self._ok = self._rest = b""
        self._block: Frame | None = None
        self._writing = False
        self.lost: Failure | None = None
        self.leaving = False
        self._flush()
        self._greenlets = [spawn(self._read), spawn(self._look)]

    @property
    def usable(self) -> bool:
        """Whether more calls may begin."""
        return self.lost is None and not self.leaving

    def submit(self, block: bytes, message: bytes, timeout_s: float, done: Done) -> None:
        """Begin a call with a header block; it goes out as soon as the server takes it."""
        if len(self._done) >= self._most:
            self._waiting.append((block, message, time.monotonic() + timeout_s, done))
            return
        self._begin(block, message, time.monotonic() + timeout_s, done)

    def close(self, failure: Failure = CLOSED) -> None:
        """Hang up; whatever was under way has failed."""
        from gevent import getcurrent

        if self.lost is not None:
            return
        self.lost = failure
        for watcher in (self._readable, self._writable):
            watcher.stop()
            watcher.close()
        self._socket.close()
        calls = [*self._done.values(), *(waiting[3] for waiting in self._waiting)]
        self._done.clear()
        self._waiting.clear()
        for done in calls:
            done(failure)
        for greenlet in self._greenlets:
            if greenlet is not getcurrent():
                greenlet.kill(block=False)

    def _begin(self, block: bytes, message: bytes, end_s: float, done: Done) -> None:
        stream, size = self._next, len(message) + _PREFIX
        self._next += 2
        self.leaving = self.leaving or self._next > _frames.MOST
        self._done[stream] = done
        self._due.append((end_s, stream))
        number = stream.to_bytes(4, "big")
        begun = (_frames.head(len(block), _frames.HEADERS, _frames.END_HEADERS), number, block)
        if not self._bodies and size <= min(self._frame, self._window, self._initial):
            self._window -= size
            last = (_frames.head(size, _frames.DATA, _frames.END_STREAM), number, _prefix(message), message)
            self._out.append(b"".join((*begun, *last)))
        else:
            self._out.append(b"".join(begun))
            self._bodies.append(Body(stream=stream, left=memoryview(message), window=self._initial))
        self._flush()

    def _flush(self) -> None:
        """Write what the socket takes; for the rest a greenlet waits."""
        if self._writing or self.lost is not None:
            return
        try:
            while self._fill():
                self._write()
        except BlockingIOError:
            from gevent import spawn

            self._writing = True
            spawn(self._continue)
        except OSError as error:
            self.close(_lost(error))

    def _continue(self) -> None:
        if self.lost is None:
            self._hub.wait(self._writable)
        self._writing = False
        self._flush()

    def _write(self) -> None:
        parts = [self._out.popleft() for _ in range(min(_PARTS, len(self._out)))]
        try:
            sent = self._socket.sendmsg(parts)
        except BlockingIOError:
            self._out.extendleft(reversed(parts))
            raise
        for place, part in enumerate(parts):
            if sent < len(part):
                self._out.extendleft(reversed([memoryview(part)[sent:], *parts[place + 1 :]]))
                return
            sent -= len(part)

    def _fill(self) -> bool:
        """Make frames of the bodies, as many as are written at once; return whether there is something to write."""
        blocked = 0
        while self._bodies and blocked < len(self._bodies) and len(self._out) < _PARTS:
            body = self._bodies[0]
            whole = len(body.left) + (0 if body.begun else _PREFIX)
            size = min(self._frame, self._window, body.window, whole)
            if body.stream not in self._done:  # it was answered or given up before all was sent
                self._bodies.popleft()
            elif size < min(_PREFIX, whole):
                blocked += 1
                self._bodies.rotate(-1)
            else:
                self._piece(body, size)
        return bool(self._out)

    def _piece(self, body: Body, size: int) -> None:
        self._window -= size
        body.window -= size
        before = b"" if body.begun else _prefix(body.left)
        content, body.left = body.left[: size - len(before)], body.left[size - len(before) :]
        body.begun = True
        flags = 0 if body.left else _frames.END_STREAM
        self._out.append(_frames.head(size, _frames.DATA, flags) + body.stream.to_bytes(4, "big") + before)
        self._out.append(content)
        if not body.left:
            self._bodies.popleft()

    def _read(self) -> None:
        """Take what comes, until nothing does."""
        failure = Failure(trouble=Trouble.UNREACHABLE, text="the server closed the connection")
        try:
            while self.lost is None:
                self._hub.wait(self._readable)
                with contextlib.suppress(BlockingIOError):
                    came = self._socket.recv(_READ)
                    if not came:
                        break
                    self._take(came)
        except OSError as error:
            failure = _lost(error)
        except (ValueError, IndexError) as error:
            failure = classify("INTERNAL", f"the server does not speak gRPC: {error}")
        finally:
            self.close(failure)

    def _take(self, came: bytes) -> None:
        buffer, place = self._rest + came if self._rest else came, 0
        while len(buffer) - place >= _frames.HEAD:
            end = place + _frames.HEAD + int.from_bytes(buffer[place : place + 3], "big")
            if end > len(buffer):
                break
            kind, flags = buffer[place + 3], buffer[place + 4]
            stream = int.from_bytes(buffer[place + 5 : place + 9], "big") & _frames.MOST
            if kind == _frames.DATA:
                self._came += end - place - _frames.HEAD
                if flags & _frames.END_STREAM:
                    self._finish(stream, classify("UNAVAILABLE", "the answer ends without a status"))
            elif kind == _frames.HEADERS and flags == _LAST and buffer[place + _frames.HEAD : end] == self._ok:
                self._finish(stream, None)  # the same bytes mean the same
            elif kind != _frames.HEADERS or flags & _frames.END_STREAM or not flags & _frames.END_HEADERS:
                self._look_at(Frame(kind, flags, stream, buffer[place + _frames.HEAD : end]))
            place = end
        self._rest = buffer[place:]
        if self._came > _frames.MOST // 2:
            self._say(_frames.window(self._came))
            self._came = 0

    def _look_at(self, found: Frame) -> None:
        if found.kind == _frames.HEADERS:
            self._headed(Frame(found.kind, found.flags, found.stream, _frames.unpadded(found)))
        elif found.kind == _frames.CONTINUATION and self._block is not None:
            begun = self._block
            flags = begun.flags | found.flags & _frames.END_HEADERS
            self._headed(Frame(begun.kind, flags, begun.stream, begun.content + found.content))
        elif found.kind == _frames.RESET:
            code = int.from_bytes(found.content, "big")
            self._finish(found.stream, classify(_RESETS.get(code, "INTERNAL"), f"the call was reset (code {code})"))
        elif found.kind == _frames.WINDOW:
            self._widen(found.stream, int.from_bytes(found.content, "big"))
        elif found.kind == _frames.SETTINGS and not found.flags & _frames.ACK:
            self._agree(found.content)
        elif found.kind == _frames.PING and not found.flags & _frames.ACK:
            self._say(_frames.frame(_frames.PING, _frames.ACK, 0, found.content))
        elif found.kind == _frames.GOAWAY:
            self._leave(int.from_bytes(found.content[:4], "big"))

    def _headed(self, found: Frame) -> None:
        if not found.flags & _frames.END_HEADERS:
            self._block = found
            return
        self._block = None
        if not found.flags & _frames.END_STREAM:
            return
        failure = _status(_hpack.decoded(found.content))
        if failure is None:
            self._ok = found.content
        self._finish(found.stream, failure)

    def _finish(self, stream: int, failure: Failure | None) -> None:
        done = self._done.pop(stream, None)
        if done is not None:
            done(failure)
        while self._waiting and len(self._done) < self._most and self.lost is None:
            self._begin(*self._waiting.popleft())

    def _widen(self, stream: int, more: int) -> None:
        if not stream:
            self._window += more
        for body in self._bodies:
            if body.stream == stream:
                body.window += more
        self._flush()

    def _agree(self, content: bytes) -> None:
        for number, value in _frames.settings(content):
            if number == _frames.MANY_STREAMS:
                self._most = max(1, value)
            elif number == _frames.FRAME_SIZE:
                self._frame = value
            elif number == _frames.INITIAL_WINDOW:
                for body in self._bodies:
                    body.window += value - self._initial
                self._initial = value
        self._say(_frames.frame(_frames.SETTINGS, _frames.ACK, 0, b""))

    def _leave(self, last: int) -> None:
        """Begin no more calls; those that the server has not begun have failed."""
        self.leaving = True
        failure = classify("UNAVAILABLE", "the server is going away")
        for stream in [number for number in self._done if number > last]:
            self._finish(stream, failure)

    def _say(self, content: bytes) -> None:
        self._out.append(content)
        self._flush()

    def _look(self) -> None:
        """Give up calls that took too long."""
        from gevent import sleep

        while self.lost is None:
            sleep(_LOOK_S)
            now_s = time.monotonic()
            while self._waiting and self._waiting[0][2] <= now_s:
                self._waiting.popleft()[3](LATE)
            while self._due and (self._due[0][0] <= now_s or self._due[0][1] not in self._done):
                stream = self._due.popleft()[1]
                if stream in self._done:
                    self._say(_frames.frame(_frames.RESET, 0, stream, _frames.CANCEL.to_bytes(4, "big")))
                    self._finish(stream, LATE)
            if self.leaving and not self._done:
                self.close()


def connected(host: str, port: int, timeout_s: float) -> Line:
    """Connect. Raises ``OSError``."""
    from gevent import socket

    made: Any = socket.create_connection((host, port), timeout_s)
    with contextlib.suppress(OSError):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.settimeout(0)
    return Line(made)


def _prefix(message: bytes | memoryview) -> bytes:
    """Return what stands before a message: that it is not compressed, and how long it is."""
    return b"\0" + len(message).to_bytes(4, "big")


def _lost(error: OSError) -> Failure:
    return Failure(trouble=Trouble.UNREACHABLE, text=error.strerror or str(error) or type(error).__name__)


def _status(headers: dict[str, str]) -> Failure | None:
    """Return what a call's last headers say; None: it was answered."""
    code = headers.get("grpc-status", "")
    if code == "0":
        return None
    if not code:
        return classify("UNAVAILABLE", f"HTTP status {headers.get(':status', 'unknown')}, and none of gRPC")
    name = _CODES[int(code)] if code.isdigit() and int(code) < len(_CODES) else "UNKNOWN"
    return classify(name, urllib.parse.unquote(headers.get("grpc-message", "")))
