"""``kit cache``: what is at work is not cleared from under it."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from cli.conftest import Kit
from kit.cache import Cache, Key

KEY = Key(stage="test", inputs=("a",))


def test_a_run_at_work_is_not_cleared_from_under_it(kit_command: Kit, tmp_path: Path) -> None:
    Cache().make(KEY, tuple[int, ...], lambda _: (1,))
    with Cache().in_use(), Cache().in_use():
        kit_command("cache", "--clear").refuses(44, "a run is using the cache; try again when it has ended")
        assert kit_command("cache").code == 0
    assert Cache().find(KEY, tuple[int, ...]) == (1,)
    assert kit_command("cache", "--clear").code == 0
    assert Cache().find(KEY, tuple[int, ...]) is None


def test_every_run_says_that_it_is_at_work(kit_command: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    import models

    from kit import cache, simplify
    from kit.errors import RepositoryBusyError

    seen: list[Exception] = []
    original = simplify.simplify

    def meanwhile(*arguments: object) -> object:
        try:
            cache.clear(server=False)
        except RepositoryBusyError as error:
            seen.append(error)
        return original(*arguments)

    monkeypatch.setattr(simplify, "simplify", meanwhile)
    models.save(models.scale(), Path("m.onnx"))
    assert kit_command("generate", "m.onnx", "--no-verify", "--quiet").code == 0
    assert len(seen) == 1


def test_a_run_waits_for_the_clearing(kit_command: Kit, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    lock = os.open(cache / "stages.lock", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    entered = threading.Event()

    def run() -> None:
        with Cache().in_use():
            entered.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert not entered.wait(0.2)
    os.close(lock)
    assert entered.wait(60)
    thread.join()


def test_a_running_server_is_not_cleared_from_under_it(kit_command: Kit, tmp_path: Path) -> None:
    run = tmp_path / "cache" / "server" / "run" / "kit-1-x-"
    run.mkdir(parents=True)
    lock = os.open(run / "lock", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    kit_command("cache", "--clear", "--server").refuses(44, "server is running")
    assert kit_command("cache", "--clear").code == 0
    os.close(lock)
    assert kit_command("cache", "--clear", "--server").code == 0
    assert not run.exists()


def test_of_nothing_makes_nothing(kit_command: Kit, tmp_path: Path) -> None:
    assert kit_command("cache").code == 0
    assert kit_command("cache", "--clear", "--server").code == 0
    assert not (tmp_path / "cache").exists()
