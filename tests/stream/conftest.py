"""Videos, and a server that plays them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rtsp_process import RtspProcess, free_port
from videos import FRAMES, write_video


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


@pytest.fixture(scope="session")
def server(media: Path) -> Iterator[RtspProcess]:
    """The server of all tests."""
    pytest.importorskip("aio_rtsp_toolkit", reason="no RTSP server: pip install 'aio-rtsp-toolkit[server]'")
    server = RtspProcess(folder=media, port=free_port())
    yield server
    server.kill()


@pytest.fixture
def rtsp(server: RtspProcess) -> RtspProcess:
    """A server that runs; the test may freeze and kill it."""
    if server.process is None:
        server.start()
    server.thaw()
    return server
