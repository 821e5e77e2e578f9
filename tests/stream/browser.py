"""A real Chromium without a window, driven over a pipe: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
          "--no-first-run", "--disable-extensions", "--disable-background-networking", "--window-size=1100,700",
)  # fmt: skip


def program() -> str | None:
    """Return where a Chromium is, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@dataclass(kw_only=True)
class Tab:
    """A page of it."""

    to: BinaryIO
    back: BinaryIO
    session: str = ""
    errors: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"]))

    def open(self, url: str) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Runtime.enable")
        self.call("Page.enable")
        self.call("Page.navigate", url=url)

    def ask(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str, timeout_s: float = 30) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (value := self.ask(script)):
            assert time.monotonic() < deadline, (
                f"{script} stays {value!r}; the page: {self.ask('document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def _read(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self.back.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            data += byte
        return dict(json.loads(data))


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """Run a Chromium with a profile of its own."""
    name = program()
    assert name is not None
    there, to = os.pipe()
    back, here = os.pipe()
    # It reads descriptor 3 and writes 4, whatever numbers the pipes have here.
    command = f'exec "$0" "$@" 3<&{there} 4>&{here}'
    process = subprocess.Popen(
        ["/bin/bash", "-c", command, name, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(there, here), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(there)
    os.close(here)
    with os.fdopen(to, "wb") as writer, os.fdopen(back, "rb") as reader:
        try:
            yield Tab(to=writer, back=reader)
        finally:
            process.kill()
            process.wait(10)
