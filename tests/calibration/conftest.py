"""A cache of its own for each test, and sources to choose from."""

from __future__ import annotations

from pathlib import Path

import pytest
import scenery


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KIT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 different scenes; nobody writes to it."""
    return scenery.folder(tmp_path_factory.mktemp("pictures") / "scenes", 60)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 90 frames, 40 scenes of two frames and one of ten, with a key frame every 12."""
    pictures = [scenery.scene(1000 + n // 2) for n in range(80)] + [scenery.scene(5000)] * 10
    return scenery.video(tmp_path_factory.mktemp("videos") / "clip.mp4", pictures)
