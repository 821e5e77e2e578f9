"""A journal keeps what was measured through kills, torn lines and full disks, and gives it to the same job only."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import DiskFullError, TuneError
from kit.tune import journal
from kit.tune.journal import Line
from kit.tune.predicting import Service
from kit.tune.subject import Subject, read
from kit.tune.values import Candidate, Job, Measurement, Need, Stage, Step

REPOSITORY = Path(__file__).parents[2] / "model_repository"
ONE = Candidate(instances=1, max_batch_size=4, queue_delay_us=0, threads=0)
TWO = replace(ONE, instances=2)


def job(path: Path, **changes: object) -> Job:
    made = Job(repository=REPOSITORY, model="digits", target="x86-cpu", need=Need(p99_ms=50), journal=path)
    return replace(made, **changes)  # type: ignore[arg-type]


def measurement(candidate: Candidate, capacity: float, stage: Stage = Stage.SEARCH) -> Measurement:
    step = Step(asked_rate=capacity, rate=capacity, p50_ms=1, p99_ms=2, fail_ratio=0, mean_batch=None, held=True)
    return Measurement(candidate=candidate, stage=stage, steps=(step,), capacity=capacity, memory_bytes=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "tune.jsonl"


@pytest.fixture(scope="module")
def known() -> Subject:
    return read(job(Path("unused")))


def written(path: Path, known: Subject) -> None:
    with journal.opened(job(path), known) as kept:
        kept.keep(Line(service=Service(candidate=ONE, batch_ms={1: 3.0, 4: 9.0}, answer_ms=4.0)))
        kept.keep(Line(measurement=measurement(ONE, 10)))
        kept.keep(Line(measurement=measurement(ONE, 11)))
        kept.keep(Line(measurement=measurement(TWO, 12, Stage.CONFIRM)))


def capacities(path: Path, known: Subject, **changes: object) -> list[float]:
    with journal.opened(job(path, **changes), known) as kept:
        found = [kept.measurement(Stage.SEARCH, ONE), kept.measurement(Stage.SEARCH, ONE)]
        found += [kept.measurement(Stage.SEARCH, ONE), kept.measurement(Stage.CONFIRM, TWO)]
    return [0.0 if each is None else each.capacity for each in found]


def test_each_measurement_comes_back_once_and_in_its_order(path: Path, known: Subject) -> None:
    written(path, known)
    assert capacities(path, known) == [10, 11, 0, 12]
    with journal.opened(job(path), known) as kept:
        service = kept.service(ONE)
        assert service == Service(candidate=ONE, batch_ms={1: 3.0, 4: 9.0}, answer_ms=4.0)
        assert kept.service(ONE) is None
        assert kept.measurement(Stage.SEARCH, ONE) == measurement(ONE, 10)


def test_a_file_cut_anywhere_gives_what_was_whole_and_takes_more(path: Path, known: Subject) -> None:
    written(path, known)
    content = path.read_bytes()
    ends = [number + 1 for number, byte in enumerate(content) if byte == ord("\n")]
    for length in (*range(ends[0], len(content), 37), *ends):
        path.write_bytes(content[:length])
        whole = sum(end <= length for end in ends[1:])
        with journal.opened(job(path), known) as kept:
            kept.keep(Line(measurement=measurement(TWO, 99)))
        assert len(path.read_bytes().splitlines()) == 1 + whole + 1
        with journal.opened(job(path), known) as kept:
            last = kept.measurement(Stage.SEARCH, TWO)
            assert last is not None
            assert last.capacity == 99


def test_afresh_nothing_is_left(path: Path, known: Subject) -> None:
    written(path, known)
    assert capacities(path, known, fresh=True) == [0, 0, 0, 0]
    assert capacities(path, known) == [0, 0, 0, 0]


@pytest.mark.parametrize("change", [{"need": Need(p99_ms=51)}, {"url": "edge:8001"}, {"target": "t4"}])
def test_the_journal_of_another_job_is_refused(path: Path, known: Subject, change: dict[str, object]) -> None:
    written(path, known)
    before = path.read_bytes()
    with pytest.raises(TuneError, match=r"is the journal of another tuning \(digits on x86-cpu"):
        capacities(path, known, **change)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"holiday photographs\n", b'{"a": 1}\n', b"no end of line"])
def test_a_file_that_is_no_journal_is_left_alone(path: Path, known: Subject, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(TuneError, match="is no journal of a tuning; choose another --journal"):
        capacities(path, known)
    assert path.read_bytes() == content


def test_other_weights_are_another_job(known: Subject, tmp_path: Path) -> None:
    import shutil

    repository = tmp_path / "repository"
    shutil.copytree(REPOSITORY, repository)
    asked = job(tmp_path / "j", repository=repository)
    assert journal.key_of(asked, read(asked)) == journal.key_of(job(tmp_path / "j"), known)
    with (repository / "digits" / "1" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert journal.key_of(asked, read(asked)) != journal.key_of(job(tmp_path / "j"), known)


def test_a_killed_tuning_has_lost_nothing_that_it_had_kept(path: Path) -> None:
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_tune_journal import *
asked = job(Path({str(path)!r}))
with journal.opened(asked, read(asked)) as kept:
    kept.keep(Line(measurement=measurement(ONE, 10)))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert capacities(path, read(job(path)))[0] == 10


def test_a_full_disk_is_told_and_what_was_kept_still_stands(path: Path, known: Subject) -> None:
    written(path, known)
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(DiskFullError, match="no space left for"), journal.opened(job(path), known) as kept:
            kept.keep(Line(measurement=measurement(TWO, 99)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert capacities(path, known) == [10, 11, 0, 12]


def test_the_usual_place_is_the_cache_folder(known: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "KIT_CACHE_DIR", str(tmp_path))
    asked = replace(job(Path()), journal=None)
    assert journal.place_of(asked, known).parent == tmp_path / "tune"
