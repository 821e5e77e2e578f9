"""What all tests share: golden files and a cache of their own."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.paths import cache_root

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return ``check(path, text)``: compare with ``tests/golden/<path>``, or write it under ``--update-golden``."""
    update = request.config.getoption("--update-golden")

    def check(path: str, text: str) -> None:
        file = GOLDEN / path
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return
        expected = file.read_text(encoding="utf-8") if file.exists() else ""
        if expected != text:
            diff = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), f"golden/{path}", "rendered", lineterm=""
            )
            pytest.fail("\n".join(diff) + "\n(pytest --update-golden accepts the change)", pytrace=False)

    return check


@pytest.fixture
def cold_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that shares only the server's environment, which takes a minute to make."""
    server = cache_root() / "server"
    server.mkdir(parents=True, exist_ok=True)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "server").symlink_to(server)
    monkeypatch.setenv("KIT_CACHE_DIR", str(cache))
    return cache
