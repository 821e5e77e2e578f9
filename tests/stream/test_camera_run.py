"""Cameras, a real Triton and sinks together: every frame is accounted for, whatever fails or ends."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import msgspec
import pytest
from rtsp_process import RtspProcess, free_port

from kit import cli
from kit.errors import CameraLostError, CameraNotFoundError, NoAnswerError, UnknownModelError
from kit.server import embedded
from kit.server.interface import ServerOptions
from kit.stream import lines, planning, sinks
from kit.stream import plan as plans
from kit.stream.contract import ModelOptions
from kit.stream.plan import ModelPlan, Plan
from kit.stream.planning import Said
from kit.stream.run import Outcome, run
from kit.stream.sinks.interface import Emission

ROOT = Path(__file__).parents[2]
VIDEO = ROOT / "examples" / "digits" / "video.mp4"
FRAMES = 105
KIT = Path(sys.executable).parent / "kit"

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    reason = embedded.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)
    with embedded.running(ServerOptions(repository=ROOT / "model_repository")) as running:
        yield SimpleNamespace(url=running.grpc_url)


def planned(url: str, *sources: str, call: Callable[[Emission], object] | None = None, **more: Any) -> Plan:
    outputs = plans.calling(call) if call else ()
    models = {"digits": ModelPlan(options=ModelOptions(model="digits"), url=url)}
    return Plan(cameras=plans.cameras_of(sources, "digits"), models=models, outputs=outputs, **more)


def adds_up(outcome: Outcome) -> None:
    for totals in outcome.totals.values():
        assert totals.pending == 0
        assert totals.captured == totals.emitted + sum(totals.dropped.values())


def test_a_file_that_waits_loses_nothing(server: SimpleNamespace) -> None:
    seen: list[Emission] = []
    outcome = run(planned(server.url, f"{VIDEO}#pace=none", call=seen.append))
    adds_up(outcome)
    assert outcome.error is None
    (totals,) = outcome.totals.values()
    assert (totals.captured, totals.emitted) == (FRAMES, FRAMES)
    assert [e.result.frame.number for e in seen] == list(range(FRAMES))
    assert {e.labels for e in seen} == {tuple("0123456789")}  # the server's own, from the first result on


def test_a_slow_function_loses_nothing_of_a_file_that_waits(server: SimpleNamespace) -> None:
    seen: list[Emission] = []

    def slow(emission: Emission) -> None:
        time.sleep(0.01)
        seen.append(emission)

    adds_up(run(planned(server.url, f"{VIDEO}#pace=none", call=slow)))
    assert len(seen) == FRAMES


def test_several_cameras_each_with_its_own_account(server: SimpleNamespace) -> None:
    seen: Counter[str] = Counter()
    sources = ["test://20fps?size=320x240"] * 6
    outcome = run(
        planned(server.url, *sources, call=lambda e: seen.update([e.result.frame.camera]), duration_s=2.0, overall=12)
    )
    adds_up(outcome)
    assert outcome.error is None
    assert len(outcome.totals) == 6
    (sink,) = outcome.last.sinks
    assert sink.taken == seen.total()
    assert sink.taken + sink.missed == sum(totals.emitted for totals in outcome.totals.values())
    assert all(0 < seen[name] <= totals.emitted for name, totals in outcome.totals.items()), seen
    for view in outcome.last.cameras:
        assert view.age is not None
        assert view.age.count == view.totals.emitted


def test_a_failing_function_stops_no_camera(server: SimpleNamespace) -> None:
    def fails(_: Emission) -> None:
        raise ValueError("my own mistake")

    outcome = run(planned(server.url, f"{VIDEO}#pace=none", call=fails))
    adds_up(outcome)
    (totals,) = outcome.totals.values()
    assert totals.emitted == FRAMES
    (sink,) = outcome.last.sinks
    assert sink.errors >= 1
    assert sink.taken + sink.missed == FRAMES


def test_dead_cameras_beside_a_live_one(server: SimpleNamespace, tmp_path: Path) -> None:
    sources = ["rtsp://127.0.0.1:9/none", "test://20fps?size=320x240&frames=20"]
    outcome = run(planned(server.url, *sources, duration_s=2.0))
    adds_up(outcome)
    dead, live = outcome.totals.values()
    assert (dead.captured, live.captured) == (0, 20)
    assert outcome.error is None


def test_a_camera_that_comes_later_is_picked_up(server: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("aio_rtsp_toolkit", reason="no RTSP server: pip install 'aio-rtsp-toolkit[server]'")
    shutil.copy(VIDEO, tmp_path)
    rtsp = RtspProcess(folder=tmp_path, port=free_port())
    seen = threading.Event()
    stop = threading.Event()
    late = threading.Timer(1.0, rtsp.start)
    late.start()
    url = f"rtsp://127.0.0.1:{rtsp.port}/video.mp4?play_count=0"
    made = planned(server.url, url, call=lambda _: seen.set(), duration_s=30.0)
    watcher = threading.Thread(target=lambda: (seen.wait(20), stop.set()))
    watcher.start()
    try:
        outcome = run(made, stop=stop)
    finally:
        late.join()
        rtsp.kill()
        watcher.join()
    adds_up(outcome)
    assert seen.is_set()


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [("rtsp://127.0.0.1:9/none", CameraLostError, "no camera gave a picture .*refuses connections")],
)
def test_no_camera_at_all(server: SimpleNamespace, source: str, error: type[Exception], said: str) -> None:
    outcome = run(planned(server.url, source, duration_s=0.7))
    assert isinstance(outcome.error, error)
    with pytest.raises(error, match=said):
        raise outcome.error


def test_a_file_that_vanished(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    made = planned(server.url, str(tmp_path / "a.mp4"))
    (tmp_path / "a.mp4").unlink()
    assert isinstance(run(made).error, CameraNotFoundError)


def test_an_unknown_model(server: SimpleNamespace) -> None:
    made = planning.plan((str(VIDEO),), Said(model="digit", url=server.url), quiet=True)
    with pytest.raises(UnknownModelError, match=r'has no model "digit"; did you mean "digits"?'):
        run(made)


def test_no_server() -> None:
    made = planned(f"127.0.0.1:{free_port()}", str(VIDEO), patience_s=0.5)
    with pytest.raises(NoAnswerError, match=r"does not answer .* start a server with: kit serve"):
        run(made)


def test_frames_of_a_live_camera_without_a_server_are_lost_to_the_server() -> None:
    outcome = run(planned(f"127.0.0.1:{free_port()}", "test://30fps?size=320x240", duration_s=1.0))
    adds_up(outcome)
    (totals,) = outcome.totals.values()
    causes = {cause.value for cause, count in totals.dropped.items() if count}
    assert totals.captured > 10
    assert causes <= {"server_error", "shutdown"}
    assert isinstance(outcome.error, NoAnswerError)


def test_two_models_at_once(server: SimpleNamespace) -> None:
    """The same one twice, as two."""
    first, second = (
        plans.cameras_of(["test://10fps?size=320x240&frames=10"], key)[0] for key in ("a", "b")
    )  # fmt: skip
    models = {key: ModelPlan(options=ModelOptions(model="digits"), url=server.url) for key in ("a", "b")}
    outcome = run(Plan(cameras=plans.named_apart((first, second)), models=models))
    adds_up(outcome)
    assert [totals.captured for totals in outcome.totals.values()] == [10, 10]
    assert all(totals.emitted > 0 for totals in outcome.totals.values())


class TestTheCommand:
    def test_lines_and_a_video(self, server: SimpleNamespace, tmp_path: Path) -> None:
        command = [KIT, "camera", f"{VIDEO}#pace=none", "--model", "digits", "--url", server.url, "--json",
                   "--score", "0.5", "--record", str(tmp_path / "out.mp4")]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=600, check=True)
        *results, end = (msgspec.json.decode(line, type=lines.Line) for line in done.stdout.splitlines())
        assert [line.frame for line in results] == list(range(FRAMES))
        assert isinstance(end, lines.EndLine)
        assert (end.captured, end.emitted, end.dropped) == (FRAMES, FRAMES, {})
        found = Counter(d.label for line in results for d in line.detections)
        assert found["7"] > FRAMES / 2
        assert all(d.score >= 0.5 for line in results for d in line.detections)
        assert all(line.captured_ns <= line.sent_ns <= line.received_ns <= line.emitted_ns for line in results)
        with av.open(str(tmp_path / "out.mp4")) as film:
            assert sum(1 for _ in film.decode(video=0)) == FRAMES
            assert film.streams.video[0].average_rate == 15
        assert b"105 captured = 105 emitted + 0 dropped + 0 pending" in done.stderr

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_with_totals_that_add_up(self, server: SimpleNamespace, number: int) -> None:
        command = [KIT, "camera", "test://30fps?size=320x240", "--model", "digits", "--url", server.url, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(number)
            begun = time.monotonic()
            out, err = process.communicate(timeout=300)
            took_s = time.monotonic() - begun
        assert process.returncode == 0, err
        end = json.loads(out.splitlines()[-1])
        assert end["kind"] == "end"
        assert end["captured"] == end["emitted"] + sum(end["dropped"].values())
        assert took_s < 15
        assert b"pending" in err

    def test_a_reader_that_goes_away(self, server: SimpleNamespace) -> None:
        script = (
            f'"{KIT}" camera "test://30fps?size=320x240" --model digits --url {server.url} --json --quiet | head -1'
        )
        done = subprocess.run(
            ["/bin/bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}"], capture_output=True, timeout=600, check=False
        )
        assert done.returncode == cli.UNREAD, done.stderr
        assert done.stderr == b""
        assert len(done.stdout.splitlines()) == 1

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            ([], 2, "no camera is given"),
            (["test://5fps"], 2, "which model?"),
            (["tset://5fps", "--model", "digits"], 80, "no source reads"),
            (["test://5fps", "--model", "digits", "--record", "a.avi"], 2, "try --record a.mp4"),
            (["test://5fps", "--model", "digits", "--page", "http"], 2, "--page takes a port"),
            (["test://5fps", "--model", "digits", "--json", "--print"], 2, "both write to standard output"),
            (["test://5fps", "--model", "digits", "--task", "detekt"], 21, 'did you mean "detect"?'),
            (["test://5fps", "--model", "digit"], 55, 'did you mean "digits"?'),
            (["test://5fps", "--model", "digits", "--labels", "none.txt"], 2, "is not a file of class names"),
            (["--config", "none.yaml"], 86, "cannot be read"),
        ],
    )
    def test_mistakes(
        self, server: SimpleNamespace, arguments: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.run(["camera", *arguments, *(["--url", server.url] if arguments else [])]) == code
        err = capfd.readouterr().err
        assert said in err
        assert err.count("kit: ") == 1

    def test_the_schema(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run(["camera", "--print-schema"]) == 0
        assert json.loads(capsys.readouterr().out) == lines.schema()

    def test_every_kind_of_sink_at_once(self, server: SimpleNamespace, tmp_path: Path) -> None:
        flags = {"--json": [], "--page": ["0"], "--metrics": ["0"], "--record": [str(tmp_path / "a.mp4")],
                 "--save": [str(tmp_path / "pictures")]}  # fmt: skip
        assert {s.flag for s in sinks.every() if s.flag} == {*flags, "--show", "--print"}
        command = [KIT, "camera", f"{VIDEO}#pace=none", "--model", "digits", "--url", server.url]
        for flag, values in flags.items():
            command += [flag, *values]
        done = subprocess.run(command, capture_output=True, timeout=600, check=True, text=True)
        assert "all cameras at http://127.0.0.1:" in done.stderr
        assert "metrics at http://127.0.0.1:" in done.stderr
        assert len(list((tmp_path / "pictures").iterdir())) == FRAMES
        assert (tmp_path / "a.mp4").stat().st_size > 10_000
