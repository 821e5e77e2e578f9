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


@pytest.fixture
def rtsp(media: Path) -> Iterator[RtspProcess]:
    """A server of the test's own, which it may freeze and kill."""
    pytest.importorskip("aio_rtsp_toolkit", reason="no RTSP server: pip install 'aio-rtsp-toolkit[server]'")
    server = RtspProcess(folder=media, port=free_port())
    server.start()
    yield server
    server.kill()
