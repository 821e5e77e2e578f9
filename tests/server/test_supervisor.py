"""The supervisor's policy, on an engine that dies when it is told to; real ones are in tests/live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kit.errors import ModelLoadError, PortInUseError, ServerDiedError
from kit.server.interface import LoadedModel, RunningServer, ServerOptions
from kit.server.supervisor import Policy, Supervisor


@dataclass(kw_only=True)
class FakeServer:
    """A server that ends with a code, and has dead instances, as the test says."""

    code: int | None = None
    dead: frozenset[str] = frozenset()
    dies_again: int = 0
    refuses: int = 0
    loaded: bool = True
    log: list[str] = field(default_factory=list)
    grpc_url: str = "127.0.0.1:2"
    http_url: str = "127.0.0.1:1"
    metrics_url: str = "127.0.0.1:3"

    def ready_models(self) -> tuple[LoadedModel, ...]:
        return (LoadedModel(name="a", version="1"),) if self.loaded else ()

    def dead_models(self) -> frozenset[str]:
        dead, self.dead = self.dead, frozenset()
        return dead

    def load(self, model: str) -> None:
        self.log.append(f"load {model}")
        self.refuses, self.loaded = self.refuses - 1, self.refuses <= 0
        if not self.loaded:
            raise ModelLoadError("no memory")
        if self.dies_again:
            self.dies_again, self.dead = self.dies_again - 1, frozenset({model})

    def unload(self, model: str) -> None:
        self.log.append(f"unload {model}")
        self.loaded = False

    def exit_code(self) -> int | None:
        return self.code

    def process(self) -> int | None:
        return None

    def stop(self) -> None:
        self.log.append("stop")

    def kill(self) -> None:
        self.log.append("kill")


@dataclass(kw_only=True)
class FakeEngine:
    """Starts the given servers one after the other; an exception is raised instead."""

    servers: list[FakeServer | Exception]
    started: list[ServerOptions] = field(default_factory=list)

    def unavailable_reason(self) -> str | None:
        return None

    def command(self, options: ServerOptions) -> tuple[str, ...]:
        return ()

    def start(self, options: ServerOptions, announce: Callable[[str], None]) -> RunningServer:
        self.started.append(options)
        server = self.servers.pop(0)
        if isinstance(server, Exception):
            raise server
        return server


@dataclass(kw_only=True)
class Clock:
    """Time that passes when somebody sleeps; Ctrl-C comes at ``end_s``."""

    end_s: float
    now_s: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.sleeps.append(seconds)
        if self.now_s >= self.end_s:
            raise KeyboardInterrupt

    def clock(self) -> float:
        return self.now_s


def serve(*servers: FakeServer | Exception, end_s: float = 1000.0) -> tuple[list[str], FakeEngine, Clock]:
    told: list[str] = []
    engine, clock = FakeEngine(servers=list(servers)), Clock(end_s=end_s)
    options = ServerOptions(repository=Path("repository"))
    supervisor = Supervisor(engine=engine, options=options, announce=told.append, sleep=clock.sleep, clock=clock.clock)
    supervisor.serve(lambda server: told.append(f"ready at {server.grpc_url}"))
    return told, engine, clock


def test_serves_until_it_is_told_to_stop_and_drains() -> None:
    server = FakeServer()
    told, _, clock = serve(server, end_s=5)
    assert told == ["ready at 127.0.0.1:2", "stopping: requests in flight are answered; Ctrl-C again stops at once"]
    assert server.log == ["stop"]
    assert clock.sleeps == [1.0] * 5


def test_a_model_with_a_dead_instance_is_loaded_again_unless_it_is_unloaded() -> None:
    server = FakeServer(dead=frozenset({"a", "unloaded"}))
    told, _, _ = serve(server, end_s=3)
    assert server.log == ["unload a", "load a", "stop"]
    assert told[1:3] == ["an instance of model a has died; loading it again", "model a is ready again"]


def test_a_model_that_dies_after_each_load_is_loaded_less_and_less_often() -> None:
    server = FakeServer(dead=frozenset({"a"}), dies_again=1000)
    told, _, _ = serve(server, end_s=200)
    assert told[1:6] == [
        "an instance of model a has died; loading it again",
        "model a is ready again",
        "an instance of model a has died again; loading it again in 1 s",
        "model a is ready again",
        "an instance of model a has died again; loading it again in 2 s",
    ]
    assert server.log.count("load a") == 11


def test_a_model_that_lived_for_long_is_loaded_again_at_once() -> None:
    told: list[str] = []
    clock = Clock(end_s=1000)
    options = ServerOptions(repository=Path())
    supervisor = Supervisor(engine=FakeEngine(servers=[]), options=options, announce=told.append, clock=clock.clock)
    for now_s in (0, 31):
        clock.now_s = now_s
        supervisor._repair(FakeServer(dead=frozenset({"a"})))
    assert told == ["an instance of model a has died; loading it again", "model a is ready again"] * 2


def test_a_repair_that_failed_is_tried_again() -> None:
    server = FakeServer(dead=frozenset({"a"}), refuses=2)
    told, _, _ = serve(server, end_s=10)
    assert server.log == ["unload a", "load a", "load a", "load a", "stop"]
    assert told[2:5] == [
        "could not repair model a: no memory; trying again in 1 s",
        "could not repair model a: no memory; trying again in 2 s",
        "model a is ready again",
    ]


def test_a_server_that_ended_is_started_again_where_its_clients_are() -> None:
    first, second = FakeServer(code=134), FakeServer()
    told, engine, _ = serve(first, second, end_s=5)
    assert told[1] == "the server ended by itself with exit code 134; starting it again in 1 s"
    assert told[2] == "the server is ready again"
    assert (engine.started[1].http_port, engine.started[1].grpc_port, engine.started[1].metrics_port) == (1, 2, 3)
    assert (first.log, second.log) == (["kill"], ["stop"])


def test_it_gives_up_after_too_many_failures_and_waits_longer_each_time() -> None:
    told: list[str] = []
    engine, clock = FakeEngine(servers=[FakeServer(code=1) for _ in range(9)]), Clock(end_s=1000)
    supervisor = Supervisor(
        engine=engine, options=ServerOptions(repository=Path()), announce=told.append, sleep=clock.sleep,
        clock=clock.clock,
    )  # fmt: skip
    message = r"the server ended by itself with exit code 1, 6 times within 120 s; its log says why: serve with"
    with pytest.raises(ServerDiedError, match=message):
        supervisor.serve(lambda _: None)
    assert [s for s in clock.sleeps if s != 1.0] == [2.0, 4.0, 8.0, 16.0]
    assert len(engine.started) == 6


def test_a_start_that_fails_counts_as_a_failure() -> None:
    told, engine, _ = serve(FakeServer(code=1), PortInUseError("port 1 is in use"), FakeServer(), end_s=10)
    assert told[2] == "the server could not be started again: port 1 is in use; starting it again in 2 s"
    assert len(engine.started) == 3


def test_old_failures_are_forgotten() -> None:
    policy = Policy(failures=1, window_s=10)
    clock = Clock(end_s=100)
    supervisor = Supervisor(
        engine=FakeEngine(servers=[]), options=ServerOptions(repository=Path()), announce=lambda _: None,
        policy=policy, clock=clock.clock,
    )  # fmt: skip
    assert supervisor._count_failure("x") == 1.0
    clock.now_s = 11
    assert supervisor._count_failure("x") == 1.0
    clock.now_s = 12
    with pytest.raises(ServerDiedError, match="2 times within 10 s"):
        supervisor._count_failure("x")


def test_what_fails_at_the_first_start_is_told_as_it_is() -> None:
    with pytest.raises(ModelLoadError, match=r"^wrong$"):
        serve(ModelLoadError("wrong"))


@pytest.mark.parametrize(("failure", "delay_s"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (50, 30.0)])
def test_delays_double_to_a_cap(failure: int, delay_s: float) -> None:
    assert Policy().delay_s(failure) == delay_s
