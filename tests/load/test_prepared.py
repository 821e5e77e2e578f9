"""Loads one after another from one process, on a server that does what a test says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_server import FakeServer, running

from kit import load
from kit.errors import LoadError
from kit.load import prepared as prepared_module
from kit.load import running as running_module
from kit.load import serverside
from kit.load.generating import Hosts


def plan(fake: FakeServer, *, rate: float = 20.0, seconds: float = 0.5, arrivals: str | None = "constant") -> load.Plan:
    return load.Plan(
        url=fake.url, models=(load.ModelShare(name="echo"),), profile=load.held([rate], seconds), arrivals=arrivals,
        warmup_s=0.0, late_ms=1e4, timeout_s=20.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with running(FakeServer()) as found:
        yield found


@pytest.fixture(scope="module")
def prepared() -> Iterator[load.Prepared]:
    with load.Prepared() as found:
        yield found


def children(process: int) -> list[str]:
    """Return the processes that a process has made and that still run."""
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def test_loads_one_after_another_share_a_process_and_no_count(fake: FakeServer, prepared: load.Prepared) -> None:
    first = load.run(plan(fake), prepared=prepared)
    assert prepared._process is not None
    process = prepared._process.pid
    users = load.run(plan(fake, rate=2.0, arrivals=None), prepared=prepared)
    last = load.run(plan(fake, rate=40.0), prepared=prepared, hosts=Hosts(processes=2))
    assert prepared._process.pid == process
    assert not children(process), "each load's processes have ended"
    assert [outcome.end for outcome in (first, users, last)] == [load.End.PLANNED] * 3
    assert (first.total.due, first.total.answered) == (10, 10)
    assert users.total.answered > 2
    assert (last.total.due, last.total.answered, last.generators.processes) == (20, 20, 2)


def test_a_load_that_is_stopped_leaves_the_process_to_the_next(fake: FakeServer, prepared: load.Prepared) -> None:
    stop = threading.Event()
    sent = len(fake.requests)

    def tell(_: load.Collected) -> None:
        if len(fake.requests) > sent + 8:
            stop.set()

    stopped = load.run(plan(fake, seconds=60.0), prepared=prepared, stop=stop, tell=tell)
    assert (stopped.end, stopped.seconds < 30) == (load.End.INTERRUPTED, True)
    assert load.run(plan(fake), prepared=prepared).total.answered == 10


def test_a_process_that_was_killed_is_told_of_and_started_anew(fake: FakeServer, prepared: load.Prepared) -> None:
    assert prepared._process is not None
    lost, sent = prepared._process, len(fake.requests)

    def tell(_: load.Collected) -> None:
        if len(fake.requests) > sent + 30 and lost.poll() is None:
            for child in children(lost.pid):
                os.kill(int(child), signal.SIGKILL)
            lost.kill()
            lost.wait()

    assert load.run(plan(fake, seconds=60.0), prepared=prepared, tell=tell).end is load.End.GENERATOR_LOST
    assert load.run(plan(fake), prepared=prepared).total.answered == 10
    assert prepared._process.pid != lost.pid


def test_a_generator_that_hangs_is_ended(
    fake: FakeServer, prepared: load.Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "_SILENT_S", 1.5)
    monkeypatch.setattr(running_module, "_LAST_WORDS_S", 0.5)
    sent = len(fake.requests)

    def tell(_: load.Collected) -> None:
        assert prepared._process is not None
        if len(fake.requests) > sent + 30:
            for child in children(prepared._process.pid):
                os.kill(int(child), signal.SIGSTOP)

    assert load.run(plan(fake, seconds=60.0), prepared=prepared, tell=tell).end is load.End.GENERATOR_LOST
    assert load.run(plan(fake), prepared=prepared).total.answered == 10


def test_a_process_that_does_not_start_says_why(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_module.sys, "executable", "/bin/false")
    with pytest.raises(LoadError, match="ended with exit code 1 before it sent anything: it said nothing"):
        load.run(plan(fake))


def test_one_that_ended_before_it_was_asked_for_anything_is_told_too(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = load.Prepared._begin

    def slowly(self: load.Prepared) -> None:
        begin(self)
        assert self._reader is not None
        self._reader.join(60)

    monkeypatch.setattr(prepared_module.sys, "executable", "/bin/false")
    monkeypatch.setattr(load.Prepared, "_begin", slowly)
    with pytest.raises(LoadError, match="ended with exit code 1 before it sent anything"):
        load.run(plan(fake))


def test_a_server_without_statistics_is_asked_for_them_once_a_second(fake: FakeServer) -> None:
    asked: list[float] = []
    watch = serverside.watch(plan(fake))
    counted = watch.connection.counted
    watch.connection.counted = lambda *given: (asked.append(time.monotonic()), counted(*given))[1]  # type: ignore[method-assign]
    begun = time.monotonic()
    watch.start()
    while len(asked) < 3 and time.monotonic() < begun + 60:
        time.sleep(0.05)
    watch.stop()
    assert not watch.seen, "this server has none"
    assert 3 <= len(asked) <= time.monotonic() - begun + 3


def test_a_load_whose_asker_was_killed_ends_too(fake: FakeServer) -> None:
    code = (
        "from kit import load; import sys; "
        f"load.run(load.Plan(url={fake.url!r}, models=(load.ModelShare(name='echo'),), "
        "profile=load.held([20.0], 60.0), arrivals='constant', warmup_s=0.0))"
    )
    asker = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    sent = len(fake.requests)
    deadline = time.monotonic() + 120
    while len(fake.requests) < sent + 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    (nursery,) = children(asker.pid)
    (generator,) = children(int(nursery))
    asker.kill()
    asker.wait()
    while Path(f"/proc/{generator}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{generator}").exists()
