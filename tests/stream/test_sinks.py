"""Each kind of sink does what it says, read back as its reader does: Prometheus' parser, HTTP, a terminal's text."""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import emissions
import numpy as np
import pytest
from PIL import Image

from kit.errors import OutputUnavailableError, PortInUseError, UsageError
from kit.stream import plan, sinks, words
from kit.stream.sinks.interface import ERRORS, LIVE, PLAIN, Note, SinkGoneError, Takes
from kit.stream.snapshot import BOUNDS_MS, SinkView

FOUND = emissions.detections(((3, 0.91, (10, 12, 40, 44)), (1, 0.5, (1, 2, 3, 4))))


@pytest.fixture
def page() -> Iterator[Any]:
    now = emissions.snapshot(emissions.view("door"), emissions.view("back <b>"))
    site = sinks.by_key("page").open("0", lambda: now)
    yield site
    site.close(now)


@contextmanager
def get(port: int, path: str, host: str | None = None) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host} if host else {})
    with connection.getresponse() as answer:
        yield answer
    connection.close()


def parts(answer: http.client.HTTPResponse, count: int) -> list[tuple[dict[str, str], bytes]]:
    found = []
    for _ in range(count):
        assert answer.readline() == b"--picture\r\n"
        heads = dict(line.decode().strip().split(": ") for line in iter(answer.readline, b"\r\n"))
        found.append((heads, answer.read(int(heads["Content-Length"]))))
        assert answer.read(2) == b"\r\n"
    return found


class TestEveryKind:
    def test_flags_and_keys_are_given_once(self) -> None:
        for names in ([s.flag for s in sinks.every() if s.flag], [s.key for s in sinks.every() if s.key]):
            assert len(set(names)) == len(names) > 5

    @pytest.mark.parametrize("name", sinks.names())
    def test_says_what_it_makes_in_a_sentence(self, name: str) -> None:
        assert re.fullmatch(r"[A-Z].*\.", sinks.get(name).help)

    @pytest.mark.parametrize("name", [s.name for s in sinks.every() if s.takes is Takes.PORT])
    @pytest.mark.parametrize("text", ["", "x", "80a", "65536", "-1", "localhost:", "\uff11"])
    def test_a_port_is_a_port(self, name: str, text: str) -> None:
        with pytest.raises(UsageError, match=r"takes a port from 0 to 65535, or HOST:PORT"):
            sinks.get(name).check(text)

    @pytest.mark.parametrize("name", [s.name for s in sinks.every() if s.takes is Takes.PORT])
    def test_a_port_that_is_taken_is_told(self, name: str) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            with pytest.raises(PortInUseError, match=r"give another port$"):
                sinks.get(name).open(str(held.getsockname()[1]), emissions.snapshot)


class TestPrometheus:
    def test_metrics_are_the_counts(self) -> None:
        from prometheus_client.parser import text_string_to_metric_families

        now = emissions.snapshot(
            emissions.view("a", captured=10, superseded=3), emissions.view("b"),
            sinks=(SinkView(name="video", taken=1, missed=4, errors=2, left_out=False),),
        )  # fmt: skip
        exporter: Any = sinks.by_key("metrics").open("0", lambda: now)
        try:
            with get(exporter.port, "/metrics") as answer:
                text = answer.read().decode()
        finally:
            exporter.close(now)
        seen = {
            (s.name, *sorted(s.labels.values())): s.value
            for f in text_string_to_metric_families(text)
            for s in f.samples
        }
        assert seen["kit_camera_frames_captured_total", "a"] == 10
        assert seen["kit_camera_frames_emitted_total", "a"] == 7
        assert seen["kit_camera_frames_dropped_total", "a", "superseded"] == 3
        assert seen["kit_camera_frames_dropped_total", "b", "superseded"] == 2
        assert seen["kit_camera_reconnects_total", "b"] == 1
        assert seen["kit_camera_result_age_seconds_count", "a"] == 7
        assert seen["kit_camera_result_age_seconds_bucket", "0.005", "a"] == 0
        assert seen["kit_camera_result_age_seconds_bucket", "0.01", "a"] == 7
        assert seen["kit_camera_result_age_seconds_sum", "a"] == pytest.approx(0.072)
        assert seen["kit_camera_sink_errors_total", "video"] == 2
        assert seen["kit_camera_sink_missed_total", "video"] == 4
        assert len([k for k in seen if k[0].endswith("age_seconds_bucket")]) == 2 * (len(BOUNDS_MS) + 1)


class TestPage:
    def test_is_whole_without_the_internet(self, page: Any) -> None:
        with get(page.port, "/") as answer:
            text = answer.read().decode()
            assert answer.status == 200
        assert not re.search(r"https?://|//cdn", text)

    def test_one_connection_has_the_pictures_and_the_state_of_all(self, page: Any) -> None:
        for camera, value in (("door", 10), ("back <b>", 200)):
            page.take(emissions.emission(camera=camera, picture=emissions.image(value=value)))
        with get(page.port, "/all") as answer:
            state, *pictures = parts(answer, 3)
        assert [c["camera"] for c in json.loads(state[1])["cameras"]] == ["door", "back <b>"]
        shown = {heads["X-Camera"]: np.asarray(Image.open(io.BytesIO(body))).mean() for heads, body in pictures}
        assert shown == {"door": pytest.approx(10, abs=2), "back%20%3Cb%3E": pytest.approx(200, abs=2)}

    def test_a_stream_has_the_newest_picture_only(self, page: Any) -> None:
        for value in range(0, 250, 10):
            page.take(emissions.emission(picture=emissions.image(value=value)))
        with get(page.port, "/stream/door") as answer:
            ((_, body),) = parts(answer, 1)
            assert np.asarray(Image.open(io.BytesIO(body))).mean() == pytest.approx(240, abs=2)
            page.take(emissions.emission(picture=emissions.image(value=5)))
            ((_, body),) = parts(answer, 1)
        assert np.asarray(Image.open(io.BytesIO(body))).mean() == pytest.approx(5, abs=2)

    def test_what_is_drawn_once_is_sent_to_all(self, page: Any) -> None:
        page.take(emissions.emission(output=FOUND))
        with get(page.port, "/picture/door") as first, get(page.port, "/picture/door") as second:
            one, two = first.read(), second.read()
        assert one == two
        assert one.startswith(b"\xff\xd8")

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/none", 404), ("/stream/none", 404), ("/picture/door", 503), ("/state", 200), ("/../page.py", 404)],
    )
    def test_other_paths(self, page: Any, path: str, status: int) -> None:
        with get(page.port, path) as answer:
            assert answer.status == status

    @pytest.mark.parametrize(
        ("host", "status"),
        [("evil.example", 403), ("evil.example:80", 403), ("", 403), ("localhost", 200), ("127.0.0.1:9", 200),
         ("[::1]:9", 200)],
    )  # fmt: skip
    def test_a_name_that_was_made_to_point_here_is_refused(self, page: Any, host: str, status: int) -> None:
        with get(page.port, "/state", host or " ") as answer:
            assert answer.status == status

    def test_a_browser_that_takes_nothing_holds_up_nobody(self, page: Any) -> None:
        with socket.create_connection(("127.0.0.1", page.port)) as stuck:
            stuck.sendall(b"GET /all HTTP/1.1\r\nHost: localhost\r\n\r\n")
            noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8)
            begun = time.monotonic()
            for number in range(200):
                page.take(emissions.emission(number, picture=noise))
            assert time.monotonic() - begun < 10
            with get(page.port, "/stream/door") as answer:
                assert parts(answer, 1)
        assert threading.active_count() < 30

    def test_it_ends_with_browsers_at_it(self) -> None:
        site: Any = sinks.by_key("page").open("0", emissions.snapshot)
        with get(site.port, "/all") as answer:
            parts(answer, 1)
            begun = time.monotonic()
            site.close(emissions.snapshot())
        assert time.monotonic() - begun < 10
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{site.port}/", timeout=2)


class TestTable:
    @pytest.mark.parametrize(
        ("loudness", "said"),
        [
            (PLAIN, ["kit: connected", "kit: lost", "door: 10 captured = 8 emitted + 2 dropped (2 superseded)"]),
            (LIVE, ["kit: connected", "kit: lost", "door: 10 captured"]),  # no terminal: lines too
            (ERRORS, ["kit: lost"]),
        ],
    )
    def test_tells_on_standard_error(self, loudness: str, said: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        (kind,) = (s for s in sinks.every() if s.takes is Takes.LOUDNESS)
        sink = kind.open(loudness, emissions.snapshot)
        sink.note(Note(text="connected"))
        sink.note(Note(text="lost [red]", bad=True))
        sink.close(emissions.snapshot(sinks=(SinkView(name="video", taken=1, missed=4, errors=2, left_out=False),)))
        shown = capfd.readouterr()
        assert shown.out == ""
        lines = shown.err.splitlines()
        assert all(line.startswith(text) for line, text in zip(lines, said, strict=False))
        assert any("[red]" in line for line in lines)
        assert ("video: 1 results taken, 4 missed, 2 failures" in lines) == (loudness != ERRORS)

    def test_a_terminal_gets_a_table(self) -> None:
        from rich.console import Console

        from kit.stream.sinks import get

        (kind,) = (s for s in sinks.every() if s.takes is Takes.LOUDNESS)
        module = sys.modules[type(get(kind.name)).__module__]
        console = Console(width=100, record=True, file=io.StringIO())
        console.print(module.grid(emissions.snapshot(emissions.view("door"), emissions.view("yard"))))
        text = console.export_text()
        assert re.search(r"door +live +25\.0 +20\.0 +9 +10 +20% +2 x cat", text)
        assert "yard" in text


class TestOthers:
    def test_a_function_is_called_with_each_result(self) -> None:
        seen: list[int] = []
        (output,) = plan.calling(lambda emission: seen.append(emission.result.frame.number))
        sink = output.sink.open(output.target, emissions.snapshot)
        for number in range(3):
            sink.take(emissions.emission(number))
        assert seen == [0, 1, 2]
        with pytest.raises(UsageError, match=r"on_detections is a function, not 'x'"):
            output.sink.check("x")

    def test_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        sink = sinks.by_key("print").open("-", emissions.snapshot)
        sink.take(emissions.emission(7, output=FOUND, labels=("a", "cat")))
        sink.take(emissions.emission(8))
        assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
            ["door", "7", "3", "0.91", "10.0", "12.0", "40.0", "44.0"],
            ["cat", "0.50", "1.0", "2.0", "3.0", "4.0"],
            ["door", "8", "nothing"],
        ]

    def test_words(self) -> None:
        many = emissions.detections([(n % 6, 0.5, (0, 0, 1, 1)) for n in range(9)])
        assert words.brief(many, ("cat",)) == "2 x cat, 2 x 1, 2 x 2, 1 x 3, ..."
        assert words.brief(emissions.detections(), ()) == "nothing"

    def test_pictures(self, tmp_path: Path) -> None:
        sink = sinks.by_key("save").open(str(tmp_path / "new" / "folder"), emissions.snapshot)
        sink.take(emissions.emission(7, output=FOUND))
        (file,) = (tmp_path / "new" / "folder").iterdir()
        assert file.name == "door-000007.jpg"
        with Image.open(file) as picture:
            assert picture.size == (64, 48)
        with pytest.raises(UsageError, match=r"this is a file; give a folder$"):
            sinks.by_key("save").check(str(file))

    def test_a_window_needs_a_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(OutputUnavailableError, match=r"DISPLAY is not set; --page 8080 shows the same"):
            sinks.by_key("show").check("-")

    @pytest.mark.parametrize("display", [":987", "nonsense", "127.0.0.1:59000"])
    def test_a_window_needs_a_display_that_answers(self, display: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISPLAY", display)
        with pytest.raises(OutputUnavailableError, match=r"none answers at DISPLAY="):
            sinks.by_key("show").check("-")

    def test_a_display_that_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("\0/tmp/.X11-unix/X986")
            listening.listen()
            for display in (":986", ":986.0", "unix:986"):
                monkeypatch.setenv("DISPLAY", display)
                sinks.by_key("show").check("-")

    def test_a_window_needs_an_opencv_with_windows(self) -> None:
        cv2 = pytest.importorskip("cv2")
        if not re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
            pytest.skip("this OpenCV has windows")
        with pytest.raises(OutputUnavailableError, match=r"pip install opencv-python. Or: --page 8080"):
            sinks.by_key("show").open("-", emissions.snapshot)

    @pytest.mark.parametrize("key", ["json", "print"])
    def test_nobody_reads(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        class Closed(io.StringIO):
            buffer = property(lambda self: self)

            def write(self, _: object) -> int:
                raise BrokenPipeError(32, "Broken pipe")

        monkeypatch.setattr(sys, "stdout", Closed())
        sink = sinks.by_key(key).open("-", emissions.snapshot)
        with pytest.raises(SinkGoneError) as gone:
            sink.take(emissions.emission())
        assert gone.value.ends
        assert gone.value.interrupted
