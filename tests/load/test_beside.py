"""perf_analyzer: the same load in its words, and its table read; a script stands in where the program is not."""

from pathlib import Path

import pytest

from kit.errors import LoadError
from kit.load import beside
from kit.load.profile import held
from kit.load.values import ModelShare, Plan

TABLE = (
    "Concurrency,Inferences/Second,Client Send,p50 latency,p90 latency,p95 latency,p99 latency\n"
    "4,120.5,30,8000,9000,9500,12000\n"
)


def plan(**changes: object) -> Plan:
    made: dict[str, object] = {
        "url": "x:8001", "models": (ModelShare(name="digits", batch=2),), "profile": held([40.0], 10.0),
        "arrivals": "poisson", **changes,
    }  # fmt: skip
    return Plan(**made)  # type: ignore[arg-type]


def test_a_load_in_the_words_of_perf_analyzer() -> None:
    words = " ".join(beside.arguments(plan()))
    assert "-m digits -u x:8001 -i grpc --async -b 2" in words
    assert "--request-rate-range 40 --request-distribution poisson" in words
    assert "--concurrency-range 4" in " ".join(beside.arguments(plan(arrivals=None, profile=held([4.0], 1.0))))
    assert "-p 3334 -s 1000" in words, "three windows, as long as the plan together, whether they agree or not"
    assert "--shape images:3,8,8" in " ".join(beside.arguments(plan(shapes={"images": (3, 8, 8)})))


@pytest.mark.parametrize(
    "changes",
    [
        {"profile": held([1.0, 2.0], 2.0)},
        {"arrivals": "cameras"},
        {"models": (ModelShare(name="a"), ModelShare(name="b"))},
    ],
)
def test_a_load_that_perf_analyzer_has_no_words_for(changes: dict[str, object]) -> None:
    with pytest.raises(LoadError, match="one model at one rate"):
        beside.arguments(plan(**changes))


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "perf_analyzer"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_its_table_is_read_in_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table").write_text(TABLE)
    program(tmp_path, f'while [ "$1" != -f ]; do shift; done; cp {tmp_path}/table "$2"', monkeypatch)
    found = beside.perf_analyzer(plan())
    assert (found.inference_rate, found.p50_ms, found.p99_ms) == (120.5, 8.0, 12.0)
    assert next(found.lines()).startswith("perf_analyzer      120.5")


def test_a_program_that_does_not_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "echo \"version 'GLIBC_2.38' not found\" >&2; exit 1", monkeypatch)
    with pytest.raises(LoadError, match=r"measured nothing \(exit code 1\): version 'GLIBC_2.38' not found"):
        beside.perf_analyzer(plan())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LoadError, match="is not on the PATH"):
        beside.perf_analyzer(plan())
