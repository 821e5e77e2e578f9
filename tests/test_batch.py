"""Several models at once: as many as fit, each in a process, and no failure but its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import models
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import batch, spec
from kit.jobs import Job, Outcome
from kit.machine import Limits
from kit.planning import Options
from kit.types import Spec, Thresholds
from kit.worker import Done

FAKE_TORCH = "class nn:\n    class Module:\n        pass\n"
"""The source imports torch before it calls the user's code; importing the real one takes seconds."""


@dataclass
class Notes:
    """A board that remembers."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    at_work: set[str] = field(default_factory=set)
    most: int = 0

    def begun(self, name: str) -> None:
        self.at_work.add(name)
        self.most = max(self.most, len(self.at_work))

    def working(self, name: str, what: str | None) -> None:
        assert name in self.at_work

    def done(self, name: str, event: Done) -> None:
        assert name in self.at_work
        self.lines.append((name, event.stage))

    def note(self, name: str, text: str) -> None:
        self.lines.append((name, text))

    def ended(self, outcome: Outcome, seconds: float) -> None:
        self.at_work.remove(outcome.name)

    def of(self, name: str) -> list[str]:
        return [text for model, text in self.lines if model == name]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torch.py").write_text(FAKE_TORCH)
    models.save(models.classifier(), tmp_path / "model.onnx")
    return tmp_path


@pytest.fixture
def job(here: Path) -> Callable[..., Job]:
    """Return ``job(name, source)``; a source with a newline is the code of a function, which is called."""

    def make(name: str, source: str = "model.onnx") -> Job:
        if "\n" in source:
            (here / f"net_{name}.py").write_text(
                f"def build():\n    import os, signal, sys, time\n    {source.strip()}\n"
            )
            source = f"net_{name}:build"
        asked = spec.build(source, name=name, targets=("x86-cpu",), thresholds=Thresholds())
        return Job(spec=asked, options=Options(verify="none", input_shape=None), folder=here)

    return make


def test_one_failure_stops_no_other(job: Callable[..., Job]) -> None:
    board = Notes()
    bad = job("bad")
    bad = Job(spec=Spec(source="gone.onnx", name="bad", targets=("x86-cpu",)), options=bad.options, folder=bad.folder)
    outcomes = batch.run([job("first"), bad, job("last")], board, 2)
    assert [o.name for o in outcomes] == ["first", "bad", "last"]
    assert [o.result is not None for o in outcomes] == [True, False, True]
    assert outcomes[1].failure is not None
    assert (outcomes[1].failure.exit_code, outcomes[1].failure.trace) == (10, "")
    assert outcomes[1].failure.message.startswith("gone.onnx does not exist")
    assert sorted(p.name for p in Path("model_repository").iterdir()) == ["first", "last"]
    assert (board.most, board.at_work) == (2, set())
    assert board.of("first")[-1] == board.of("last")[-1] == "publish"
    assert not list(Path().glob(".*"))


def test_what_becomes_of_a_process_that_does_not_say(job: Callable[..., Job]) -> None:
    """Killed as by the kernel when memory runs out, crashed in C, ended by the user's code; and one that is well."""
    killed = job("killed", "os.kill(os.getpid(), signal.SIGKILL)\n")
    crashed = job("crashed", "print('almost there', flush=True); os.kill(os.getpid(), signal.SIGSEGV)\n")
    ended = job("ended", "os._exit(3)\n")
    board = Notes()
    outcomes = {o.name: o for o in batch.run([killed, crashed, ended, job("well")], board, 4)}
    assert outcomes["well"].result is not None
    failures = {name: o.failure for name, o in outcomes.items() if o.failure is not None}
    assert {failure.exit_code for failure in failures.values()} == {33}
    assert "was killed, as the system does when memory runs out; make fewer at once: --workers 1" in (
        failures["killed"].message
    )
    assert "crashed (SIGSEGV)" in failures["crashed"].message
    assert failures["crashed"].message.endswith("; its last line: almost there")
    assert failures["ended"].message == "the process that made it ended with exit code 3"
    assert board.of("crashed") == ["almost there"]


def test_what_a_model_prints_is_told_under_its_name(job: Callable[..., Job]) -> None:
    board = Notes()
    source = "print('one'); print('ü' * 5, 'two', file=sys.stderr); os.write(1, b'\\xff'); raise ValueError('no')\n"
    (outcome,) = batch.run([job("loud", source)], board, 1)
    assert outcome.failure is not None
    assert outcome.failure.exit_code == 13
    assert sorted(board.of("loud")) == ["one", "üüüüü two", "\ufffd"]


def test_modules_beside_the_spec_are_found_and_those_of_the_current_folder_do_no_harm(
    here: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job("beside", "raise ValueError('found')\n")
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kit.py").write_text("raise SystemExit('the wrong kit')")
    monkeypatch.chdir(elsewhere)
    (outcome,) = batch.run([asked], Notes(), 1)
    assert outcome.failure is not None
    assert "ValueError: found" in outcome.failure.message


def test_a_fault_of_ours_is_told_with_its_traceback(job: Callable[..., Job], here: Path) -> None:
    wrong = Job(spec=job("broken").spec, options=Options(verify="none", keep="x"), folder=here)  # type: ignore[arg-type]
    models.save(models.classifier(classes=4), here / "model.onnx")
    batch.run([job("broken")], Notes(), 1)
    models.save(models.classifier(), here / "model.onnx")
    broken, well = batch.run([wrong, job("well")], Notes(), 1)
    assert broken.failure is not None
    assert broken.failure.exit_code == 1
    assert broken.failure.message.startswith("a fault of kit: TypeError: ")
    assert broken.failure.trace.startswith("Traceback (most recent call last):\n")
    assert well.result is not None


def test_an_interruption_ends_all_and_leaves_nothing(job: Callable[..., Job], here: Path) -> None:
    class Impatient(Notes):
        def begun(self, name: str) -> None:
            super().begun(name)
            if len(self.at_work) == 2:
                until = time.monotonic() + 60
                while len(list(here.glob("*.pid"))) < 2 and time.monotonic() < until:
                    time.sleep(0.02)
                raise KeyboardInterrupt

    sleep = "open(str(os.getpid()) + '.pid', 'w').close(); time.sleep(100)\n"
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        batch.run([job("a", sleep), job("b", sleep), job("c", sleep)], Impatient(), 2)
    assert time.monotonic() - start < 80
    pids = [int(p.stem) for p in here.glob("*.pid")]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(here.glob(".*"))
    assert not (here / "model_repository").exists()


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Job]:
    """Return ``sized(size)``: a job for a file of about so many bytes, which takes no room."""
    folder = tmp_path_factory.mktemp("sized")

    def make(size: int) -> Job:
        path = folder / f"{size}.onnx"
        with path.open("wb") as file:
            file.truncate(size)
        return Job(spec=Spec(source=str(path), name=str(size), targets=()), options=Options(), folder=folder)

    return make


class TestHowMany:
    @given(st.lists(st.integers(0, 4 << 30), min_size=1, max_size=6), st.integers(1, 8), st.integers(0, 100 << 30))
    def test_as_many_as_there_are_cores_and_room(
        self, sized: Callable[[int], Job], sizes: list[int], cores: int, free: int
    ) -> None:
        jobs = [sized(size) for size in sizes]
        chosen = batch.crew(jobs, Limits(cores=cores, free_memory_bytes=free)).workers
        needs = sorted((batch.need_bytes(job) for job in jobs), reverse=True)
        assert 1 <= chosen <= min(cores, len(jobs))
        assert chosen == 1 or sum(needs[:chosen]) <= free
        assert chosen == min(cores, len(jobs)) or sum(needs[: chosen + 1]) > free
        assert batch.crew(jobs, Limits(cores=cores, free_memory_bytes=None)).workers == min(cores, len(jobs))

    def test_says_why(self, sized: Callable[[int], Job]) -> None:
        jobs = [sized(0), sized(1)]
        assert batch.crew(jobs, Limits(cores=2, free_memory_bytes=3_000_000_000)).reason == "2 cores, 3.0 GB free"
        assert batch.crew(jobs, Limits(cores=1, free_memory_bytes=None)).reason == "1 core"
        assert batch.crew(jobs, Limits(cores=1, free_memory_bytes=0), 9) == batch.Crew(workers=2, reason="as asked for")
