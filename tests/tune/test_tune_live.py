"""Tuning on a real embedded Triton: candidates by override, deaths survived, and everything put back."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit import tune
from kit.errors import NotReadyError, TuneError, UnknownModelError
from kit.server import embedded
from kit.server.embedded import EmbeddedServer
from kit.server.interface import ServerOptions
from kit.stream.channel import Channel
from kit.tune import ladder, places, searching, subject
from kit.tune.ladder import Effort
from kit.tune.measuring import Meter
from kit.tune.searching import Budget
from kit.tune.values import Candidate, Job, Limits, Need, Stage, Told

pytestmark = pytest.mark.live

REPOSITORY = Path(__file__).parents[2] / "model_repository"
PATIENT = Need(p99_ms=2000, fail_ratio=0.5)
"""A busy machine answers late; what it holds is not looked at here."""
SHORT = Effort(shares=(0.5, 1.0), requests=4, shortest_s=0.4, longest_s=0.4, attempts=1)
ONE = Candidate(instances=1, max_batch_size=4, queue_delay_us=0, threads=0)
TWO = Candidate(instances=2, max_batch_size=2, queue_delay_us=100, threads=1)

DEADLY = """
import os, signal, json
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        if json.loads(args["model_config"])["max_batch_size"] == 2:
            os.kill(os.getppid(), signal.SIGKILL)

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(r, "x").as_numpy())])
                for r in requests]
"""
CONFIG = """
name: "echo" backend: "python" max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


def job(**changes: Any) -> Job:
    return replace(Job(repository=REPOSITORY, model="digits", target="x86-cpu", need=PATIENT), **changes)


@pytest.fixture(scope="module", autouse=True)
def _runs_here() -> None:
    if (reason := embedded.unavailable_reason()) is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    running = embedded.start(ServerOptions(repository=REPOSITORY, config_name="x86-cpu"), lambda _: None)
    yield running
    running.kill()


def configuration(url: str) -> tuple[int, int]:
    channel = Channel(url=url)
    try:
        told = channel.config("digits", 10).config
        return told.instance_group[0].count, told.max_batch_size
    finally:
        channel.close()


def test_an_own_server_takes_candidates_and_variants_and_survives_a_deadly_one(tmp_path: Path) -> None:
    for name in ("r", "v"):
        (tmp_path / name / "echo" / "1").mkdir(parents=True)
        (tmp_path / name / "echo" / "config.pbtxt").write_text(CONFIG)
        (tmp_path / name / "echo" / "1" / "model.py").write_text(DEADLY)
    asked = job(repository=tmp_path / "r", model="echo", variants={"other": tmp_path / "v"})
    known = subject.read(asked)
    good = known.before
    deadly, other = replace(good, max_batch_size=2), replace(good, variant="other", instances=2)
    with places.opened(asked, known) as place:
        meter = Meter(job=asked, subject=known, place=place)
        died = meter.measure(deadly, Stage.SEARCH, 20.0, SHORT)
        assert died.failed.startswith("the server died of it, with exit code")
        assert died.capacity == 0
        held = meter.measure(good, Stage.SEARCH, 20.0, SHORT)
        service = meter.service(other, (1, 4, 8))
        # The stubs of the variant run what came with the load, not what stands in the repository.
        assert not held.failed
        assert held.capacity == 20
        assert [step.asked_rate for step in held.steps] == [10, 20]
        assert (held.memory_bytes or 0) > 20_000_000
        assert set(service.batch_ms) == {1, 4}
        assert 0 < service.batch_ms[1] < service.answer_ms + 50
        assert place.memory_bytes() != 0
    assert place.server.exit_code() is not None  # type: ignore[attr-defined]


def test_ctrl_c_puts_a_remote_server_back_and_the_next_run_goes_on(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "CLOSE", SHORT)
    monkeypatch.setattr(searching, "budget", lambda _: Budget(search=0, finalists=2, rounds=1))
    limits = Limits(
        instances=(TWO.instances,), max_batch_sizes=(TWO.max_batch_size,), queue_delays_us=(100,), threads=(1,)
    )
    journal = tmp_path / "j.jsonl"
    asked = job(url=server.grpc_url, limits=limits, journal=journal)
    stop = threading.Event()
    seen: list[Candidate] = []

    def tell(told: Told) -> None:
        seen.append(told.candidate)
        if len(seen) == 3:
            during.append(configuration(server.grpc_url))
            stop.set()

    during: list[tuple[int, int]] = []
    before = configuration(server.grpc_url)
    broken = tune.run(asked, tell=tell, stop=stop)
    assert broken.interrupted
    assert during == [(seen[1].instances, seen[1].max_batch_size)]
    assert before == configuration(server.grpc_url) == (1, 4)
    kept = journal.read_bytes()
    assert kept.count(b"\n") == 1 + 2

    found = tune.run(asked)
    assert configuration(server.grpc_url) == before
    assert journal.read_bytes().startswith(kept)
    assert not found.interrupted
    assert any(seen[1] == each.candidate for each in found.ranked)
    assert all(each.memory_bytes is None for each in found.ranked)
    again = tune.run(asked)  # all of it is in the journal: the server is not even asked
    assert (again.ranked, again.best, again.sure) == (found.ranked, found.best, found.sure)
    assert "measurements were there already, of 20" in again.why[-1]


def test_a_server_that_cannot_be_tuned_is_told_at_once(server: EmbeddedServer, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=r"no server answers at 127.0.0.1:9: .*; start one: kit serve"):
        tune.run(job(url="127.0.0.1:9", journal=tmp_path / "a"))
    shutil.copytree(REPOSITORY / "digits", tmp_path / "r" / "digits2")
    with pytest.raises(UnknownModelError, match=r'has no model digits2; did you mean "digits"'):
        tune.run(job(url=server.grpc_url, repository=tmp_path / "r", model="digits2", journal=tmp_path / "b"))


def test_a_server_with_another_model_of_that_name_is_refused(server: EmbeddedServer, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY, tmp_path / "r")
    path = tmp_path / "r" / "digits" / "configs" / "x86-cpu.pbtxt"
    path.write_text(re.sub('"[0-9a-f]{64}"', f'"{"0" * 64}"', path.read_text()))
    before = configuration(server.grpc_url)
    with pytest.raises(TuneError, match=r"was made of another file \([0-9a-f]{12}\) than that in .* \(000000000000\)"):
        tune.run(job(url=server.grpc_url, repository=tmp_path / "r", journal=tmp_path / "j"))
    assert configuration(server.grpc_url) == before


def test_a_server_without_control_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual = embedded._command

    def without_control(*given: Any) -> tuple[str, ...]:
        words = [word for word in usual(*given) if not word.startswith("--load-model")]
        return tuple(word.replace("mode=explicit", "mode=none") for word in words)

    monkeypatch.setattr(embedded, "_command", without_control)
    with embedded.running(ServerOptions(repository=REPOSITORY, config_name="x86-cpu")) as found:
        with pytest.raises(TuneError, match=r"does not let models be loaded: .*--model-control-mode=explicit"):
            tune.run(job(url=found.grpc_url, journal=tmp_path / "j"))
        assert configuration(found.grpc_url) == (1, 4)
