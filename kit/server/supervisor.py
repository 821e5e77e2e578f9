"""Keeps a server serving: repairs dead instances, starts it again when it ends by itself, drains on a signal."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from kit.errors import ServerDiedError, ServerError
from kit.server.interface import Engine, RunningServer, ServerOptions
from kit.signals import NUMBERS

Announce = Callable[[str], None]


@dataclass(kw_only=True)
class Repair:
    """How often a model had to be loaded again lately. ``due_s``: when to do it next; None: it is well."""

    attempts: int = 0
    ended_s: float = 0.0
    due_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When to look, and how often a server may end by itself before it is given up. All times in seconds."""

    interval_s: float = 1.0
    failures: int = 5
    window_s: float = 120.0
    first_delay_s: float = 1.0
    longest_delay_s: float = 30.0

    def delay_s(self, failure: int) -> float:
        """Return how long to wait after the nth failure, counted from 1: it doubles, to a cap."""
        doublings = min(failure - 1, 30)  # 2 to the power of a day's failures would be no float any more
        return float(min(self.first_delay_s * 2**doublings, self.longest_delay_s))


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
    _dead: set[str] = field(default_factory=set)
    _repairs: dict[str, Repair] = field(default_factory=dict)

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
            self._dead.clear()
            self._repairs.clear()
            return self._restart(code)
        try:
            self._repair(server)
        except ServerError as error:
            self.announce(f"could not repair: {error}")
        return server

    def _repair(self, server: RunningServer) -> None:
        self._dead |= server.dead_models()  # told only once: kept until the server answers
        if self._dead:
            ready = {model.name for model in server.ready_models()}
            for model in sorted(self._dead & ready):  # others are being unloaded, or are unloaded
                self._plan(model)
            self._dead.clear()
        now = self.clock()
        for model, repair in sorted(self._repairs.items()):
            if repair.due_s is not None and repair.due_s <= now:
                self._reload(server, model, repair)

    def _plan(self, model: str) -> None:
        """Set when a model is loaded again: at once, or later where it died soon after the last time."""
        now, repair = self.clock(), self._repairs.get(model)
        if repair is None or now - repair.ended_s > self.policy.longest_delay_s:
            self._repairs[model] = Repair(due_s=now)
            self.announce(f"an instance of model {model} has died; loading it again")
        elif repair.due_s is None:
            delay_s = self.policy.delay_s(repair.attempts)
            repair.due_s = now + delay_s
            self.announce(f"an instance of model {model} has died again; loading it again in {delay_s:g} s")

    def _reload(self, server: RunningServer, model: str, repair: Repair) -> None:
        repair.attempts += 1
        try:
            if any(ready.name == model for ready in server.ready_models()):  # it is not after a failed load
                server.unload(model)
            server.load(model)
            # Learn who the stubs are: one that dies before the next look is known then.
            self._dead |= server.dead_models()
        except ServerError as error:
            repair.ended_s = self.clock()
            delay_s = self.policy.delay_s(repair.attempts)
            repair.due_s = repair.ended_s + delay_s
            self.announce(f"could not repair model {model}: {error}; trying again in {delay_s:g} s")
            return
        repair.ended_s, repair.due_s = self.clock(), None
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
            with suppress(KeyboardInterrupt):  # a third one: all is over by then
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
    # A shell starts background jobs with SIGINT ignored: it is set here, whatever it was.
    before: list[Any] = [signal.signal(number, signal.default_int_handler) for number in NUMBERS]
    try:
        yield
    finally:
        for number, handler in zip(NUMBERS, before, strict=True):
            signal.signal(number, handler)
