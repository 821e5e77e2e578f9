"""Whose the CPU time and the memory are, read from a ``/proc`` that is written here, and from the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.tune import processes
from kit.tune.processes import Clock

TICKS = os.sysconf("SC_CLK_TCK")


def process(proc: Path, pid: int, parent: int, ticks: tuple[int, int, int, int] = (0, 0, 0, 0), **memory: int) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    fields = ["S", str(parent), *["0"] * 9, *map(str, ticks), *["0"] * 30]
    (folder / "stat").write_text(f"{pid} (a name) with) blanks) {' '.join(fields)}\n")
    for name, value in memory.items():
        key = {"smaps_rollup": "Pss", "status": "VmRSS"}[name]
        (folder / name).write_text(f"Other: 1 kB\n{key}:\t{value} kB\n")


def test_memory_is_that_of_the_process_and_all_below_it(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, smaps_rollup=100)
    process(tmp_path, 11, 10, smaps_rollup=20, status=900)
    process(tmp_path, 12, 11, status=3)  # its share may not be read
    process(tmp_path, 13, 1, smaps_rollup=5000)
    process(tmp_path, 14, 10)  # a zombie holds nothing
    assert set(processes.tree(10, tmp_path)) == {10, 11, 12, 14}
    assert processes.resident_bytes(10, tmp_path) == 123 * 1024
    assert processes.resident_bytes(99, tmp_path) is None


def test_time_of_others_is_what_is_left_of_our_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})
    process(tmp_path, os.getpid(), 1, (10, 5, 1000, 500))
    process(tmp_path, 999_999, os.getpid(), (2, 1, 0, 0))
    process(tmp_path, 999_998, 1, (7777, 7777, 0, 0))
    (tmp_path / "uptime").write_text("100.5 4\n")
    idle, waiting = 9000, 800
    rows = [f"cpu{n} 1000 20 300 {idle} {waiting} 5 6 7 99 9" for n in range(3)]
    (tmp_path / "stat").write_text("\n".join(["cpu 1 1 1 1", *rows, "intr 5"]) + "\n")
    clock = processes.clock(tmp_path)
    assert clock.own_s == pytest.approx(1518 / TICKS)
    assert clock.all_s == pytest.approx(2 * (1000 + 20 + 300 + 5 + 6 + 7) / TICKS)
    assert clock.wall_s == 100.5


def test_cores_are_seconds_of_computing_in_a_second() -> None:
    before = Clock(all_s=100, own_s=40, wall_s=10)
    assert processes.others_cores(before, Clock(all_s=112, own_s=44, wall_s=20)) == pytest.approx(0.8)
    assert processes.others_cores(before, Clock(all_s=101, own_s=42, wall_s=20)) == 0


def test_a_real_child_is_ours() -> None:
    program = "import time; held = bytearray(40_000_000); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            assert child.pid in processes.tree(os.getpid())
            assert 40_000_000 < (processes.resident_bytes(child.pid) or 0) < 80_000_000
        finally:
            child.kill()
    before = processes.clock()
    sum(number * number for number in range(2_000_000))
    after = processes.clock()
    assert after.own_s > before.own_s
    assert after.all_s >= before.all_s
