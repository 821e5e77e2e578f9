"""What a container allows is what there is: cgroups of both versions, read from trees as the kernel lays them out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit import machine

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         1000 kB\nMemAvailable:   20000000 kB\n"
GB = 1_000_000_000


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    return tmp_path / "proc"


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_cgroups_it_is_the_machine(proc: Path, groups: Path) -> None:
    assert machine.cores(proc, groups) == len(os.sched_getaffinity(0))
    assert machine.free_memory_bytes(proc, groups) == 20000000 * 1024


def test_nobody_says(tmp_path: Path) -> None:
    assert machine.free_memory_bytes(tmp_path, tmp_path) is None


class TestVersionTwo:
    @pytest.fixture(autouse=True)
    def own(self, proc: Path) -> None:
        (proc / "self" / "cgroup").write_text("0::/outer/inner\n")

    def test_the_least_of_all_around_counts(self, proc: Path, groups: Path) -> None:
        write(groups / "outer", memory__max=str(8 * GB), memory__current=str(2 * GB), cpu__max="150000 100000")
        write(groups / "outer" / "inner", memory__max="max", memory__current=str(GB), cpu__max="max 100000")
        assert machine.free_memory_bytes(proc, groups) == 6 * GB
        assert machine.cores(proc, groups) == 1

    def test_files_in_memory_are_given_back(self, proc: Path, groups: Path) -> None:
        stat = f"anon {GB}\ninactive_file {3 * GB}\nactive_file 5"
        write(groups / "outer" / "inner", memory__max=str(8 * GB), memory__current=str(7 * GB), memory__stat=stat)
        assert machine.free_memory_bytes(proc, groups) == 4 * GB

    def test_more_than_the_limit_is_nothing_left(self, proc: Path, groups: Path) -> None:
        write(groups / "outer" / "inner", memory__max=str(GB), memory__current=str(2 * GB))
        assert machine.free_memory_bytes(proc, groups) == 0

    def test_seen_from_inside_a_container(self, proc: Path, groups: Path) -> None:
        """The path is that of the host, and is not mounted here: the root is the container's own."""
        write(groups, memory__max=str(4 * GB), memory__current=str(GB), cpu__max="50000 100000")
        assert machine.free_memory_bytes(proc, groups) == 3 * GB
        assert machine.cores(proc, groups) == 1  # half a core is one worker

    def test_nonsense_is_no_limit(self, proc: Path, groups: Path) -> None:
        write(groups, memory__max="lots", memory__current="", cpu__max="0.5")
        assert machine.free_memory_bytes(proc, groups) == 20000000 * 1024
        assert machine.cores(proc, groups) == len(os.sched_getaffinity(0))


def test_version_one(proc: Path, groups: Path) -> None:
    (proc / "self" / "cgroup").write_text("5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n")
    write(groups / "memory", memory__limit_in_bytes=str(5 * GB), memory__usage_in_bytes=str(2 * GB),
          memory__stat=f"total_inactive_file {GB}")  # fmt: skip
    write(groups / "cpu", cpu__cfs_quota_us="100000", cpu__cfs_period_us="100000")
    assert machine.free_memory_bytes(proc, groups) == 4 * GB
    assert machine.cores(proc, groups) == 1


def test_of_this_machine_they_are_sane() -> None:
    found = machine.limits()
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.free_memory_bytes is None or 0 < found.free_memory_bytes < 1 << 50
