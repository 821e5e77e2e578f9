"""What all tests share: golden files and a cache of their own."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kit.paths import cache_root

GOLDEN = Path(__file__).parent / "golden"

# A law is held on the same examples each time, however slow the machine is; `--hypothesis-profile=search` takes others.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("kit", settings.get_profile("search"), derandomize=True)
settings.load_profile("kit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("environment"):
        _require_environment(mark.args[0], **mark.kwargs)


def _require_environment(name: str, *, asked: bool = False) -> None:
    """Skip where an environment is neither made nor asked for by ``KIT_TEST_ENVIRONMENTS`` (names, or 1: all).

    ``asked``: having it is not enough, for what runs in it takes minutes.
    """
    from kit import environments
    from kit.errors import ToolEnvironmentError

    made, wanted = environments.is_made(name), os.environ.get("KIT_TEST_ENVIRONMENTS", "").split()
    if name not in wanted and wanted != ["1"] and (asked or not made):
        size = environments.recipe.load(name).size // 10**6
        pytest.skip(f"KIT_TEST_ENVIRONMENTS={name} runs it, with an environment of its own ({size} MB)")
    try:
        environments.ensure(name, lambda _: None)
    except ToolEnvironmentError as error:
        pytest.skip(str(error))


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
    """An empty cache that shares only environments, the server's and those of tools, which take a minute to make."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("server", "environments"):
        (cache_root() / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(cache_root() / name)
    monkeypatch.setenv("KIT_CACHE_DIR", str(cache))
    return cache
