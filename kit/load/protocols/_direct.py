"""Calls to one server whatever becomes of its connections: a lost one is made anew at the next request."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from kit.load.protocols import _frames, _line
from kit.load.protocols._line import Line
from kit.load.protocols.interface import Done
from kit.stream.failures import CLOSED, Failure, Trouble

_PATH = "/inference.GRPCInferenceService/ModelInfer"
_PAUSE_S = 0.2
"""After a connection that failed; meanwhile requests fail at once, as grpc's do."""
_CONNECT_S = 5.0


@dataclass(kw_only=True)
class Direct:
    """``ModelInfer`` at ``host:port``, without TLS. For processes that gevent runs in."""

    address: str
    _line: Line | None = None
    _blocks: dict[float, bytes] = field(default_factory=dict)
    _waiting: list[tuple[bytes, float, Done]] = field(default_factory=list)
    _connecting: bool = False
    _failed: Failure | None = None
    _again_s: float = 0.0
    _closed: bool = False

    def submit(self, request: bytes, timeout_s: float, done: Done) -> None:
        """Send, and return at once; ``done`` is told what came of it."""
        line = self._line
        if line is not None and line.usable:
            block = self._blocks.get(timeout_s)
            if block is None:
                block = self._blocks[timeout_s] = _frames.calling(self.address, _PATH, timeout_s)
            line.submit(block, request, timeout_s, done)
        elif self._closed:
            done(CLOSED)
        elif self._failed is not None and time.monotonic() < self._again_s:
            done(self._failed)
        else:
            self._waiting.append((request, timeout_s, done))
            self._connect()

    def close(self) -> None:
        """Hang up; what is under way has failed."""
        self._closed = True
        if self._line is not None:
            self._line.close()

    def _connect(self) -> None:
        from gevent import spawn

        if not self._connecting:
            self._connecting = True
            spawn(self._connected)

    def _connected(self) -> None:
        host, _, port = self.address.rpartition(":")
        try:
            made = _line.connected(host.strip("[]"), int(port), _CONNECT_S)
        except OSError as error:
            text = error.strerror or str(error) or type(error).__name__
            self._failed, self._again_s = Failure(trouble=Trouble.UNREACHABLE, text=text), time.monotonic() + _PAUSE_S
        else:
            self._line, self._failed = made, None
            if self._closed:
                made.close()
        self._connecting = False
        waiting, self._waiting = self._waiting, []
        for request, timeout_s, done in waiting:
            if self._failed is not None:
                done(self._failed)
            else:
                self.submit(request, timeout_s, done)
