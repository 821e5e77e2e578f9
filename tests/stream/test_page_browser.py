"""The page in a real browser: pictures move, numbers are there, a camera's name is text and no markup."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import emissions
import pytest

from kit.errors import PortInUseError
from kit.stream import sinks

HOSTILE = "gate <img src=x onerror=alert(1)>"
CAMERAS = ("door", HOSTILE, *(f"camera {n}" for n in range(8)))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Tab]:
    if browser.program() is None:
        pytest.skip("no Chromium: apt install chromium")
    with browser.tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_all_cameras_are_shown_and_move(tab: browser.Tab, tmp_path: Path) -> None:
    """Ten cameras, which is more than the six connections that a browser opens to a server."""
    now = emissions.snapshot(*(emissions.view(camera) for camera in CAMERAS))
    site: Any = sinks.by_key("page").open("0", lambda: now)
    stop = threading.Event()

    def shine() -> None:
        number = 0
        while not stop.wait(0.02):
            number += 1
            for camera in CAMERAS:
                site.take(emissions.emission(number, camera=camera, picture=emissions.image(value=number % 250)))

    lamp = threading.Thread(target=shine)
    lamp.start()
    try:
        tab.open(f"http://127.0.0.1:{site.port}/")
        tab.until(f"document.querySelectorAll('article img').length === {len(CAMERAS)}")
        assert tab.until("[...document.querySelectorAll('article img')].every(i => i.naturalWidth === 64)")
        before = tab.ask("document.querySelector('article img').src")
        tab.until(f"document.querySelector('article img').src !== '{before}'")
        assert tab.ask("[...document.querySelectorAll('h2')].map(h => h.textContent)") == list(CAMERAS)
        text = tab.ask("document.querySelector('article').innerText")
        assert all(said in text for said in ("25.0", "20.0", "9 ms", "10 ms", "2 x cat", "dropped 2 of 10"))
        assert tab.ask("document.querySelectorAll('article.live').length") == len(CAMERAS)
        assert len(tab.picture()) > 10_000
    finally:
        stop.set()
        lamp.join()
        site.close(now)
    assert tab.until("document.getElementById('told').textContent !== '' && !document.querySelector('article.live')")
    assert tab.errors == []


def test_it_finds_the_run_again(tab: browser.Tab) -> None:
    site: Any = sinks.by_key("page").open("0", emissions.snapshot)
    port = site.port
    tab.open(f"http://127.0.0.1:{port}/")
    tab.until("!!document.querySelector('article.live')")
    site.close(emissions.snapshot())
    tab.until("!document.querySelector('article.live')")
    deadline = time.monotonic() + 20
    while True:
        try:
            again: Any = sinks.by_key("page").open(str(port), emissions.snapshot)
            break
        except PortInUseError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    try:
        tab.until("!!document.querySelector('article.live')")
    finally:
        again.close(emissions.snapshot())
