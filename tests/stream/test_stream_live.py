"""Frames to a real Triton and back, while it is killed, stopped and given other models."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from fake_server import wait_for
from outcomes import Outcome, frame
from PIL import Image

from kit.server import embedded
from kit.server.embedded import EmbeddedServer
from kit.server.interface import ServerOptions
from kit.stream import memory
from kit.stream.requests import Dispatcher
from kit.stream.results import Cause, Change, Detections

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
NATIVE = """
backend: "onnxruntime"
max_batch_size: 2
input { name: "images" data_type: TYPE_FP32 dims: [ 3, 320, 320 ] }
output { name: "output0" data_type: TYPE_FP32 dims: [ 14, 2100 ] }
instance_group { kind: KIND_CPU count: 1 }
"""


class Server:
    """One that can be ended and started again at the same address, with the served model and the network itself."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        shutil.copytree(ROOT / "model_repository" / "digits", repository / "digits")
        (repository / "native" / "1").mkdir(parents=True)
        (repository / "native" / "config.pbtxt").write_text(NATIVE)
        shutil.copy(ROOT / "examples" / "digits" / "digits.onnx", repository / "native" / "1" / "model.onnx")
        self.running: EmbeddedServer = embedded.start(ServerOptions(repository=repository), lambda _: None)
        self.port = self.running.ports.grpc
        self.url = self.running.grpc_url

    def start(self) -> None:
        options = ServerOptions(repository=self.repository, grpc_port=self.port)
        self.running = embedded.start(options, lambda _: None)

    def signal(self, number: int) -> None:
        os.kill(self.running.server_pid, number)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    reason = embedded.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    made = Server(tmp_path_factory.mktemp("repository"))
    try:
        yield made
    finally:
        made.running.kill()


@pytest.fixture(scope="module")
def pictures() -> list[npt.NDArray[np.uint8]]:
    """Some of the model's own size, and some that must be scaled."""
    made = []
    for index, file in enumerate(sorted((ROOT / "examples" / "digits" / "test" / "images").glob("*.jpg"))[:4]):
        with Image.open(file) as picture:
            made.append(np.asarray(picture.convert("RGB").resize((640, 480)) if index % 2 else picture.convert("RGB")))
    assert {p.shape for p in made} == {(320, 320, 3), (480, 640, 3)}
    return made


@contextmanager
def filming(dispatcher: Dispatcher, picture: npt.NDArray[np.uint8]) -> Iterator[None]:
    """Submit 40 frames a second of two cameras while the block runs."""
    ended = threading.Event()

    def film() -> None:
        number = 0
        while not ended.wait(0.05):
            for camera in ("door", "yard"):
                dispatcher.submit(frame(camera, number, picture))
            number += 1

    thread = threading.Thread(target=film)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def answers(
    server: Server, model: str, pictures: list[npt.NDArray[np.uint8]], **options: object
) -> tuple[list[Detections], Outcome]:
    outcome = Outcome()
    with outcome.dispatcher(server.url, model, freshness_s=20, **options) as dispatcher:
        for number, picture in enumerate(pictures):
            dispatcher.submit(frame(number=number, image=picture))
            assert wait_for(lambda n=number: len(outcome.results) == n + 1), outcome  # type: ignore[misc]
    made = [r.output for r in outcome.results]
    assert all(isinstance(d, Detections) for d in made)
    return made, outcome  # type: ignore[return-value]


def test_answers_are_onnx_runtimes_by_every_wire(server: Server, pictures: list[npt.NDArray[np.uint8]]) -> None:
    import onnxruntime

    found, outcome = answers(server, "digits", pictures)
    inline, other = answers(server, "digits", pictures, without_wires=frozenset({"shm"}))
    assert ({r.wire for r in outcome.results}, {r.wire for r in other.results}) == ({"shm"}, {"inline"})
    session = onnxruntime.InferenceSession(
        ROOT / "model_repository" / "digits" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    for picture, by_memory, by_message in zip(pictures, found, inline, strict=True):
        assert np.array_equal(by_memory.boxes, by_message.boxes)
        if picture.shape == (320, 320, 3):
            num, boxes, scores, classes = session.run(None, {"images": picture[np.newaxis]})
            count = int(num[0, 0])
            assert count > 2
            assert np.allclose(by_memory.boxes, boxes[0, :count].clip(0, 320), atol=1e-3)
            assert np.allclose(by_memory.scores, scores[0, :count], atol=1e-5)
            assert by_memory.classes.tolist() == classes[0, :count].tolist()


def test_a_network_of_others_finds_what_the_served_model_finds(
    server: Server, pictures: list[npt.NDArray[np.uint8]]
) -> None:
    served, _ = answers(server, "digits", pictures)
    for options in ({}, {"without_wires": frozenset({"shm"})}):
        native, outcome = answers(server, "native", pictures, **options)
        assert "frames of 320 x 320 as FP32 NCHW" in outcome.texts()
        assert sum(map(len, native)) > 6
        for ours, theirs in zip(native, served, strict=True):
            assert ours.classes.tolist() == theirs.classes.tolist()
            assert np.allclose(ours.boxes, theirs.boxes, atol=0.05)
            assert np.allclose(ours.scores, theirs.scores, atol=1e-4)


def test_boxes_are_in_pixels_of_the_source(server: Server, pictures: list[npt.NDArray[np.uint8]]) -> None:
    (small, large), _ = answers(server, "digits", [pictures[0], np.kron(pictures[0], np.ones((2, 2, 1), np.uint8))])
    assert small.classes.tolist() == large.classes.tolist()
    assert np.allclose(small.boxes * 2, large.boxes, atol=1)


def test_the_documented_example_runs(
    server: Server, pictures: list[npt.NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "stream.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = program.replace("localhost:8001", server.url).replace("freshness_s=0.5", "freshness_s=20")
    exec(program, {"image": pictures[0]})
    said = capsys.readouterr().out
    assert len(re.findall(r"^door 0 \d 0\.\d+ \[", said, re.MULTILINE)) > 2
    assert "Counts(submitted=1" in said
    # The line that the page shows is the line that is said.
    shown = " ".join(text.split("    digits version 1 at ")[1].split("\n\n")[0].split())
    assert shown.removeprefix("localhost:8001") in " ".join(said.split())


def test_a_server_that_is_killed_and_comes_back_is_used_again(
    server: Server, pictures: list[npt.NDArray[np.uint8]]
) -> None:
    outcome = Outcome()
    with outcome.dispatcher(server.url, "digits", freshness_s=0.5) as dispatcher, filming(dispatcher, pictures[0]):
        assert wait_for(lambda: len(outcome.results) > 3)
        server.running.kill()
        time.sleep(1.5)
        before = len(outcome.results)
        server.start()
        # How soon is measured by benchmarks/recovery.py on a quiet machine.
        assert wait_for(lambda: len(outcome.results) > before + 3, 20), outcome.texts()
    assert {r.wire for r in outcome.results} == {"shm"}
    assert [e.change for e in outcome.events][:2] == [Change.READY, Change.WAITING]
    assert outcome.events[-1].change is Change.READY
    assert outcome.causes() <= {Cause.SERVER_ERROR, Cause.STALE, Cause.SUPERSEDED, Cause.IN_FLIGHT, Cause.SHUTDOWN}
    counts = dispatcher.counts
    assert counts.submitted == counts.emitted + sum(counts.dropped.values())


def test_a_server_that_hangs_and_goes_on_is_used_again(server: Server, pictures: list[npt.NDArray[np.uint8]]) -> None:
    outcome = Outcome()
    with outcome.dispatcher(server.url, "digits", freshness_s=0.4) as dispatcher, filming(dispatcher, pictures[0]):
        assert wait_for(lambda: len(outcome.results) > 3)
        server.signal(signal.SIGSTOP)
        try:
            assert wait_for(lambda: Cause.DEADLINE in outcome.causes(), 20)
            time.sleep(3)  # long enough to doubt the connection itself
            assert dispatcher.counts.in_flight <= 4
        finally:
            server.signal(signal.SIGCONT)
        before = len(outcome.results)
        assert wait_for(lambda: len(outcome.results) > before + 3, 20), outcome.texts()
    assert "does not answer" in outcome.texts() or "Deadline" in outcome.texts()


def test_a_new_version_takes_over_and_results_say_so(server: Server, pictures: list[npt.NDArray[np.uint8]]) -> None:
    outcome = Outcome()
    folder = server.repository / "digits"
    with outcome.dispatcher(server.url, "digits", freshness_s=2) as dispatcher, filming(dispatcher, pictures[0]):
        assert wait_for(lambda: len(outcome.results) > 3)
        shutil.copytree(folder / "1", folder / "2")
        try:
            server.running.load("digits")
            assert wait_for(lambda: outcome.results[-1].version == "2", 20)
        finally:
            shutil.rmtree(folder / "2")
            server.running.load("digits")
    versions = [int(r.version) for r in outcome.results]
    assert versions[0] == 1
    assert "version: digits: version 1 -> 2" in outcome.texts()
    lost = {drop.reason for drop in outcome.drops if drop.cause is Cause.SERVER_ERROR}
    assert lost <= {"the server does not answer yet"}, "while it was asked anew what the model takes"


def test_a_model_that_goes_and_comes_is_waited_for(server: Server, pictures: list[npt.NDArray[np.uint8]]) -> None:
    outcome = Outcome()
    with outcome.dispatcher(server.url, "digits", freshness_s=0.5) as dispatcher, filming(dispatcher, pictures[0]):
        assert wait_for(lambda: len(outcome.results) > 3)
        server.running.unload("digits")
        assert wait_for(lambda: any(e.change is Change.WAITING for e in outcome.events), 20)
        time.sleep(0.3)
        server.running.load("digits")
        before = len(outcome.results)
        assert wait_for(lambda: len(outcome.results) > before + 3, 20), outcome.texts()
    assert "has no available versions" in outcome.texts()


def test_a_mistyped_model_is_answered_with_those_that_are_there(server: Server) -> None:
    from kit.errors import UnknownModelError

    said = 'has no model "digit"; did you mean "digits"'
    with Outcome().dispatcher(server.url, "digit") as dispatcher, pytest.raises(UnknownModelError, match=said):
        dispatcher.wait_until_ready(20)


def test_nothing_is_left_in_shared_memory() -> None:
    assert [p.name for p in memory.FOLDER.glob(f"{memory.PREFIX}{os.getpid()}-*")] == []
