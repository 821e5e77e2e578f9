"""Each kind of source against the real thing, where this machine has it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rtsp_process import free_port
from videos import FPS, FRAMES, encoded, write_video

from kit.errors import (
    CameraError,
    CameraLostError,
    CameraNotFoundError,
    CameraRefusedError,
    CameraSupportError,
    CameraUriError,
    MissingExtraError,
)
from kit.stream.pattern import Pattern, read_number
from kit.stream.sources import resolve
from kit.stream.sources._ffmpeg_errors import MESSAGES, translated
from kit.stream.sources._gstreamer import with_sink
from kit.stream.sources.csi import pipeline
from kit.stream.sources.folder import natural
from kit.stream.sources.interface import DecodeError, Picture, Reader


def opened(text: str, *, timeout_s: float = 5.0, halt: threading.Event | None = None) -> Reader:
    source, uri = resolve(text)
    return source.open(uri, timeout_s=timeout_s, halt=halt or threading.Event())


def pictures(reader: Reader, most: int = 10_000) -> Iterator[Picture]:
    try:
        for _ in range(most):
            if (picture := reader.read()) is None:
                return
            yield picture
    finally:
        reader.close()


def numbers(reader: Reader, most: int = 10_000) -> list[int]:
    return [read_number(picture.image()) for picture in pictures(reader, most)]


class TestFile:
    def test_every_picture_in_order_as_fast_as_they_are_taken(self, media: Path) -> None:
        begun = time.monotonic()
        assert numbers(opened(f"{media}/camera.mp4#pace=none")) == list(range(FRAMES))
        assert time.monotonic() - begun < FRAMES / FPS / 2

    def test_at_its_own_pace(self, media: Path) -> None:
        begun = time.monotonic()
        times = [picture.pts_s for picture in pictures(opened(f"file:{media}/camera.mp4"), 13)]
        assert 0 < time.monotonic() - begun - 12 / FPS < 5
        assert times == pytest.approx([n / FPS for n in range(13)])

    def test_waiting_for_a_picture_ends_when_halted(self, media: Path) -> None:
        halt = threading.Event()
        reader = opened(f"{media}/camera.mp4", halt=halt)
        threading.Timer(0.1, halt.set).start()
        begun = time.monotonic()
        assert numbers(reader)[-1] == FRAMES - 1
        assert time.monotonic() - begun < FRAMES / FPS / 2

    def test_again_and_again_with_times_that_rise(self, tmp_path: Path) -> None:
        video = write_video(tmp_path / "short.mp4", ((64, 48), 6))
        taken = list(pictures(opened(f"{video}#pace=none&loop=yes"), 20))
        assert [read_number(p.image()) for p in taken] == [n % 6 for n in range(20)]
        assert [p.pts_s for p in taken] == pytest.approx([n / FPS for n in range(20)])

    def test_what_changes_its_size(self, media: Path) -> None:
        shapes = [p.image().shape for p in pictures(opened(f"{media}/change.mp4#pace=none"))]
        assert shapes == [(240, 320, 3)] * 20 + [(480, 640, 3)] * 20

    def test_damage_costs_pictures_and_not_the_rest(self, tmp_path: Path) -> None:
        stream = bytearray(b"".join(bytes(packet) for packet in encoded((320, 240), 0, 60)))
        middle = len(stream) // 2
        stream[middle : middle + 4000] = os.urandom(4000)
        (tmp_path / "damaged.h264").write_bytes(stream)
        reader = opened(f"{tmp_path}/damaged.h264#pace=none")
        got, lost = [], 0
        while True:
            try:
                picture = reader.read()
            except DecodeError:
                lost += 1
                continue
            if picture is None:
                break
            got.append(read_number(picture.image()))
        assert got[:10] == list(range(10))
        assert got[-1] == 59
        assert len(got) + lost <= 60
        assert len(got) < 60

    def test_what_is_no_video(self, tmp_path: Path) -> None:
        (tmp_path / "text.mp4").write_text("no video at all\n" * 100)
        with pytest.raises(CameraNotFoundError, match=r"is no video that FFmpeg knows"):
            opened(f"{tmp_path}/text.mp4")
        with pytest.raises(CameraNotFoundError, match=r"there is no file .*nowhere.mp4"):
            opened("file:nowhere.mp4")
        (tmp_path / "empty.mp4").touch()
        with pytest.raises(CameraError):
            opened(f"{tmp_path}/empty.mp4")


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        pattern = Pattern(width=64, height=48)
        for number in range(12):
            Image.fromarray(pattern.draw(number)).save(tmp_path / f"frame-{number}.png")
        (tmp_path / "notes.txt").touch()
        return tmp_path

    def test_images_by_number(self, folder: Path) -> None:
        source, uri = resolve(str(folder))
        assert source.waits(uri)
        assert numbers(opened(str(folder))) == list(range(12))

    def test_at_a_rate_and_again(self, folder: Path) -> None:
        begun = time.monotonic()
        assert numbers(opened(f"dir:{folder}#fps=50&loop=yes"), 26) == [*range(12), *range(12), 0, 1]
        assert 0 < time.monotonic() - begun - 25 / 50 < 5

    def test_a_broken_image_is_one_lost_picture(self, folder: Path) -> None:
        whole = (folder / "frame-3.png").read_bytes()
        (folder / "frame-3.png").write_bytes(whole[: len(whole) // 2])
        reader = opened(str(folder))
        assert [read_number(reader.read().image()) for _ in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
        with pytest.raises(DecodeError, match=r"frame-3.png"):
            reader.read()
        assert numbers(reader) == list(range(4, 12))

    def test_what_holds_no_images(self, tmp_path: Path) -> None:
        with pytest.raises(CameraNotFoundError, match="holds no image"):
            opened(str(tmp_path))
        with pytest.raises(CameraNotFoundError, match="there is no folder"):
            opened(f"dir:{tmp_path}/nowhere")

    def test_a_photograph_that_was_held_upright(self, tmp_path: Path) -> None:
        photograph = Image.new("RGB", (40, 20))
        exif = photograph.getexif()
        exif[0x0112] = 6  # orientation: turn by 90 degrees
        photograph.save(tmp_path / "a.jpg", exif=exif)
        assert next(pictures(opened(str(tmp_path)))).image().shape == (40, 20, 3)

    def test_order(self) -> None:
        names = ["a10.png", "a9.png", "2.png", "b.png", "a.png", "10.png"]
        ordered = [p.name for p in sorted(map(Path, names), key=natural)]
        assert ordered == ["2.png", "10.png", "a.png", "a9.png", "a10.png", "b.png"]


class TestSynthetic:
    def test_at_an_exact_rate(self) -> None:
        begun = time.monotonic()
        taken = list(pictures(opened("test://100fps?size=64x48&frames=31")))
        assert 0 < time.monotonic() - begun - 30 / 100 < 5
        assert [read_number(p.image()) for p in taken] == list(range(31))
        assert taken[0].image().shape == (48, 64, 3)

    def test_as_fast_as_they_are_taken(self) -> None:
        assert numbers(opened("test://1fps?size=64x48&frames=40&pace=none")) == list(range(40))


class Mjpeg(BaseHTTPRequestHandler):
    """A camera as many are: an endless multipart answer."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        if self.path.startswith("/gone"):
            return self.send_error(404)
        if self.path.startswith("/private") and self.headers.get("Authorization") != "Basic YWRtaW46cEBzczovd29yZA==":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            return self.end_headers()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        import io

        pattern = Pattern(width=160, height=120)
        try:
            for number in range(40):
                buffer = io.BytesIO()
                Image.fromarray(pattern.draw(number)).save(buffer, "JPEG", quality=90)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(buffer.getvalue())}\r\n\r\n"
                self.wfile.write(head.encode() + buffer.getvalue() + b"\r\n")
                time.sleep(0.01)
        except OSError:
            pass

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class TestHttp:
    @pytest.fixture
    def port(self) -> Iterator[int]:
        with ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield server.server_port
            server.shutdown()
            thread.join(60)

    @pytest.mark.parametrize("place", ["", "admin:p%40ss%3A%2Fword@"])
    def test_motion_jpeg_with_and_without_a_password(self, port: int, place: str) -> None:
        reader = opened(f"http://{place}127.0.0.1:{port}/{'private' if place else 'video'}.mjpg")
        taken = list(pictures(reader, 10))
        shown = [read_number(p.image()) for p in taken]
        assert shown == list(range(shown[0], shown[0] + 10))
        times = [p.pts_s for p in taken if p.pts_s is not None]
        assert times == sorted(set(times))

    def test_the_end_is_a_loss(self, port: int) -> None:
        reader = opened(f"http://127.0.0.1:{port}/video.mjpg")
        with pytest.raises(CameraLostError, match=r"ended the stream|cannot be read on"):
            numbers(reader)

    def test_a_file_that_is_served_has_an_end(self, tmp_path: Path) -> None:
        write_video(tmp_path / "short.mp4", ((64, 48), 30), index_first=True)

        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            assert numbers(opened(f"http://127.0.0.1:{server.server_port}/short.mp4")) == list(range(30))
            server.shutdown()

    def test_refusals(self, port: int) -> None:
        with pytest.raises(CameraNotFoundError, match=r"\(404\)"):
            opened(f"http://127.0.0.1:{port}/gone")
        with pytest.raises(CameraRefusedError, match=r"\*\*\*@127.0.0.1.*\(401\)") as caught:
            opened(f"http://admin:hidden@127.0.0.1:{port}/private")
        assert "hidden" not in str(caught.value)
        assert caught.value.__cause__ is None
        with pytest.raises(CameraLostError, match="refuses connections"):
            opened(f"http://127.0.0.1:{free_port()}/")


class TestDevices:
    def test_a_device_that_is_not_there_is_permanent(self) -> None:
        with pytest.raises(CameraNotFoundError, match="v4l2:///dev/video63 is not there") as caught:
            opened("/dev/video63")
        assert caught.value.permanent

    def test_a_device_that_is_no_camera(self) -> None:
        with pytest.raises(CameraError, match="v4l2:///dev/null"):
            opened("v4l2:///dev/null")

    def test_what_a_jetson_runs(self) -> None:
        _, uri = resolve("csi://1?size=1920x1080&fps=60&flip=2&mode=3")
        assert pipeline(uri) == (
            "nvarguscamerasrc sensor-id=1 sensor-mode=3"
            " ! video/x-raw(memory:NVMM),width=1920,height=1080,framerate=60/1"
            " ! nvvidconv flip-method=2 ! video/x-raw,format=BGRx"
        )
        assert pipeline(resolve("csi://0")[1]).startswith(
            "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280"
        )
        assert (
            with_sink("a ! ") == "a ! videoconvert ! video/x-raw,format=RGB ! appsink name=kit max-buffers=1 drop=true"
        )


GSTREAMER = """
import sys, threading
from kit.stream.sources import resolve
def opened(text):
    source, uri = resolve(text)
    return source.open(uri, timeout_s=5, halt=threading.Event())
reader = opened("gst:videotestsrc is-live=true pattern=red ! video/x-raw,width=102,height=50,framerate=50/1")
taken = [reader.read() for _ in range(5)]
reader.close()
image = taken[-1].image()
print(image.shape, image[25, 50].tolist(), all(b.pts_s > a.pts_s for a, b in zip(taken, taken[1:])))
reader = opened("gst:videotestsrc num-buffers=5 ! video/x-raw,width=32,height=32,framerate=50/1")
count = 0
while reader.read():
    count += 1
print(count)
for text in ("gst:nosuchelement ! x", "gst:filesrc location=/nowhere ! decodebin"):
    try:
        opened(text).read()
    except Exception as error:
        print(type(error).__name__)
"""


def gstreamer_environment() -> dict[str, str] | None:
    """Return what makes the system's python3-gi importable here, if it was built for this Python and has GStreamer."""
    variables = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:/usr/lib/python3/dist-packages"}
    program = "import gi; gi.require_version('GstApp', '1.0'); from gi.repository import GstApp"
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, timeout=600)
    return variables if done.returncode == 0 else None


class TestGStreamer:
    def test_pipelines(self) -> None:
        if (variables := gstreamer_environment()) is None:
            pytest.skip("no GStreamer for this Python: apt install python3-gi gir1.2-gst-plugins-base-1.0")
        done = subprocess.run(
            [sys.executable, "-c", GSTREAMER], env=variables, capture_output=True, text=True, timeout=600
        )
        assert done.stdout.splitlines() == [
            "(50, 102, 3) [255, 0, 0] True", "5", "CameraUriError", "CameraLostError",
        ], done.stderr  # fmt: skip

    def test_without_it_the_message_says_what_to_install(self) -> None:
        pytest.importorskip("cv2")
        try:
            import gi  # noqa: F401
        except ImportError:
            with pytest.raises(CameraSupportError, match="install python3-gi") as caught:
                opened("gst:videotestsrc")
            assert caught.value.permanent
        else:
            pytest.skip("GStreamer is here")


def test_every_error_of_ffmpeg_is_one_of_ours_without_its_address() -> None:
    _, uri = resolve("rtsp://admin:hidden@127.0.0.1/x?token=hidden")
    kinds = {k for k in vars(av.error).values() if isinstance(k, type) and issubclass(k, av.error.FFmpegError)}
    assert len(kinds) > 30
    for kind in kinds:
        for opened in (False, True):
            error = translated(kind(1, "of hidden", uri.address.reveal()), uri, opened=opened)
            assert type(error).__subclasses__() == []
            assert str(error).startswith("rtsp://***@127.0.0.1/x?token=***")
            assert "hidden" not in str(error)
    assert {name for name, _, _ in MESSAGES} <= {kind.__name__ for kind in kinds}


def test_without_pyav_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch, media: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'triton-edge-kit\[camera\]'"):
        opened(f"{media}/camera.mp4")


def test_a_folder_given_as_a_file_is_answered(tmp_path: Path) -> None:
    with pytest.raises(CameraUriError, match="write dir:"):
        opened(f"file:{tmp_path}")


def test_images_are_the_callers_own(media: Path) -> None:
    """What a consumer draws into is no picture that somebody else still reads."""
    reader = opened(f"{media}/camera.mp4#pace=none")
    first = reader.read()
    assert first is not None
    image = first.image()
    assert image.flags.writeable
    assert image.flags.c_contiguous
    assert image.dtype == np.uint8
    copy = image.copy()
    for _ in range(20):
        later = reader.read()
        assert later is not None
        later.image()[:] = 0
    assert np.array_equal(image, copy)
    reader.close()
