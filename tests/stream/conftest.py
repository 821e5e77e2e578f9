"""A real RTSP server on loopback, in a process of its own, so that it can be stopped, continued and killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from kit.stream.pattern import Pattern

PROGRAM = Path(__file__).with_name("rtsp_server.py")
FPS = 25
FRAMES = 250


@dataclass
class RtspProcess:
    """The server; ``start`` again after ``kill``, on the same port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.folder), str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while not answers(self.port):
            assert time.monotonic() < deadline, "the RTSP server does not start"
            assert self.process.poll() is None, "the RTSP server ended"
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def url(self, name: str = "camera.mp4", *, credentials: str = "", plays: int = 0) -> str:
        """Return the address of a file that is played ``plays`` times, 0 for ever."""
        return f"rtsp://{credentials}127.0.0.1:{self.port}/{name}?play_count={plays}"


def encoded(size: tuple[int, int], first: int, count: int, *, gop: int = 10) -> Iterator[Any]:
    """Yield H.264 packets of numbered pictures, each key frame with its parameter sets."""
    import av

    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, FPS), FPS
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(gop)}
    pattern = Pattern(width=size[0], height=size[1])
    for number in range(first, first + count):
        frame = av.VideoFrame.from_ndarray(pattern.draw(number), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def write_video(path: Path, *parts: tuple[tuple[int, int], int], index_first: bool = False) -> Path:
    """Write numbered pictures of one size after the other, ``((width, height), count)`` each."""
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        (stream.width, stream.height), stream.pix_fmt = parts[0][0], "yuv420p"
        stream.codec_context.open()
        first = 0
        for size, count in parts:
            for packet in encoded(size, first, count):
                packet.stream = stream
                container.mux(packet)
            first += count
    return path


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``camera.mp4``, the same under ``private/``, and ``change.mp4``, which changes its size."""
    pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("media")
    camera = write_video(folder / "camera.mp4", ((320, 240), FRAMES))
    (folder / "private").mkdir()
    (folder / "private" / "camera.mp4").hardlink_to(camera)
    write_video(folder / "change.mp4", ((320, 240), 20), ((640, 480), 20))
    return folder


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def rtsp(media: Path) -> Iterator[RtspProcess]:
    """A server of the test's own, which it may freeze and kill."""
    pytest.importorskip("aio_rtsp_toolkit", reason="no RTSP server: pip install 'aio-rtsp-toolkit[server]'")
    server = RtspProcess(folder=media, port=free_port())
    server.start()
    yield server
    server.kill()
