"""What is asked of a target that does not have it is refused with the targets that do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kit import lacking, targets
from kit.targets.values import Backend, Target


@pytest.fixture
def nano() -> Target:
    return targets.load("orin-nano-8gb")


def told(target: Target, threads: int | None = None) -> list[str]:
    return list(lacking.problems(target, threads=threads))


def test_what_it_has_is_no_problem(nano: Target) -> None:
    for threads in (None, 0, 1, nano.device.cpu_threads):
        assert told(nano, threads) == []
    for name in targets.names():
        assert told(targets.load(name)) == [], name


def test_too_many_threads(nano: Target) -> None:
    (line,) = told(nano, 7)
    assert line.startswith("orin-nano-8gb has 6 CPU threads, not 7; ask for 6 or fewer, or choose ")
    offered = line.rpartition("choose ")[2].split(", ")
    assert "orin-nx-16gb" in offered
    for name in targets.names():
        assert (told(targets.load(name), 7) == []) == (name in offered), name


def test_a_machine_with_any_number_of_cores_takes_any(nano: Target) -> None:
    assert told(targets.load("x86-cpu"), 1024) == []


def test_no_backend_that_the_kit_builds_for(nano: Target) -> None:
    other = replace(nano, name="mine", backends=(Backend(name="pytorch", instance_kind="KIND_CPU"),))
    (line,) = told(other)
    assert line.startswith("mine has the backends pytorch; the kit builds for ")
    assert line.endswith(f"; choose {', '.join(targets.names())}")


def test_a_dla_is_named_where_one_is() -> None:
    having = [name for name in targets.names() if targets.load(name).device.dla_cores]
    assert having
    told = "and engines are built for it on the device, with kit build --dla 0; delete the key"
    assert lacking.dla() == f"a DLA is in {', '.join(having)}, {told}"


def test_a_broken_file_of_the_users_own_is_not_offered(tmp_path: Path, nano: Target) -> None:
    (tmp_path / "broken.toml").write_text("no toml")
    (line,) = lacking.problems(nano, threads=7, folders=[tmp_path])
    assert "broken" not in line
