"""Keeps a server serving: repairs dead instances, starts it again when it ends by itself, drains on a signal."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from kit.errors import ServerDiedError, ServerError
from kit.server.interface import Engine, RunningServer, ServerOptions

Announce = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When to look, and how often a server may end by itself before it is given up. All times in seconds."""

    interval_s: float = 1.0
    failures: int = 5
    window_s: float = 120.0
    first_delay_s: float = 1.0
    longest_delay_s: float = 30.0

    def delay_s(self, failure: int) -> float:
        """Return how long to wait after the nth failure within the window, counted from 1: it doubles, to a cap."""
        return float(min(self.first_delay_s * 2 ** (failure - 1), self.longest_delay_s))


@dataclass(kw_only=True)
class Supervisor:
    """Serves with one engine until it is told to stop. ``sleep`` and ``clock`` are there for tests of the policy."""

    engine: Engine
    options: ServerOptions
    announce: Announce
    policy: Policy = field(default_factory=Policy)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _failures: deque[float] = field(default_factory=deque)

    def serve(self, ready: Callable[[RunningServer], None]) -> None:
        """Start, call ``ready`` once, and serve until SIGINT or SIGTERM; then drain and return.

        A second signal stops at once. Raises what ``Engine.start`` raises, and ``ServerDiedError`` when the
        server has ended by itself too often.
        """
        with _signals_interrupt():
            server: RunningServer | None = None
            try:
                server = self.engine.start(self.options, self.announce)
                self.options = _pinned(self.options, server)
                ready(server)
                while True:
                    self.sleep(self.policy.interval_s)
                    server = self._look_after(server)
            except KeyboardInterrupt:
                if server is not None:
                    self._drain(server)
            except BaseException:
                if server is not None:
                    server.kill()
                raise

    def _look_after(self, server: RunningServer) -> RunningServer:
        """Return the server that serves from now on: the same one, or its successor."""
        code = server.exit_code()
        if code is not None:
            server.kill()  # removes what it left
            return self._restart(code)
        try:
            self._repair(server)
        except ServerError as error:
            self.announce(f"could not repair: {error}")
        return server

    def _repair(self, server: RunningServer) -> None:
        dead = server.dead_models()
        if not dead:
            return
        ready = {model.name for model in server.ready_models()}
        for model in sorted(dead & ready):  # others are being unloaded, or are unloaded
            self.announce(f"an instance of model {model} has died; loading it again")
            server.unload(model)
            server.load(model)
            self.announce(f"model {model} is ready again")

    def _restart(self, code: int) -> RunningServer:
        reason = f"the server ended by itself with exit code {code}"
        while True:
            delay_s = self._count_failure(reason)
            self.announce(f"{reason}; starting it again in {delay_s:g} s")
            self.sleep(delay_s)
            try:
                server = self.engine.start(self.options, self.announce)
            except ServerError as error:
                reason = f"the server could not be started again: {error}"
                continue
            self.announce("the server is ready again")
            return server

    def _count_failure(self, reason: str) -> float:
        now = self.clock()
        self._failures.append(now)
        while self._failures[0] < now - self.policy.window_s:
            self._failures.popleft()
        count = len(self._failures)
        if count > self.policy.failures:
            raise ServerDiedError(
                f"{reason}, {count} times within {self.policy.window_s:g} s; its log says why: serve with "
                "--log-file FILE --verbose"
            )
        return self.policy.delay_s(count)

    def _drain(self, server: RunningServer) -> None:
        self.announce("stopping: requests in flight are answered; Ctrl-C again stops at once")
        try:
            server.stop()
        except KeyboardInterrupt:
            server.kill()


def _pinned(options: ServerOptions, server: RunningServer) -> ServerOptions:
    """Return the options with the ports that were chosen: a successor answers where its clients are."""
    urls = (server.http_url, server.grpc_url, server.metrics_url)
    http, grpc, metrics = (int(url.rpartition(":")[2]) for url in urls)
    return replace(options, http_port=http, grpc_port=grpc, metrics_port=metrics)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise ``KeyboardInterrupt``; only the main thread may and need do this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    # A shell starts background jobs with SIGINT ignored: it is set here, whatever it was.
    before: list[Any] = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
