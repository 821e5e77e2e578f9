"""The server's own environment: what is locked, when it is refused, what stays after a failure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit.environments import installing
from kit.errors import DownloadError, ServerUnavailableError
from kit.server import environment, interpreter

LOCKS = Path(environment.__file__).parent / "lock"


@pytest.mark.parametrize("lock", sorted(p.name for p in LOCKS.glob("*.txt")))
def test_every_package_is_exact_and_hashed(lock: str) -> None:
    text = re.sub(r"\\\n", " ", (LOCKS / lock).read_text())
    requirements = [line for line in text.splitlines() if line and not line.startswith("#")]
    for requirement in requirements:
        pattern = r'[a-z-]+==[\d.]+( ; python_version (<|>=) "3\.\d+")?( +--hash=sha256:[0-9a-f]{64})+'
        assert re.fullmatch(pattern, requirement), requirement


def test_numpy_2_only_where_there_is_no_other() -> None:
    lock = (LOCKS / "server.txt").read_text()
    assert 'numpy==1.26.4 ; python_version < "3.13"' in lock
    assert len(re.findall(r"^numpy==2", lock, re.MULTILINE)) == 1


def test_asking_whether_a_server_can_run_is_cheap() -> None:
    code = (
        "import time; started = time.process_time(); from kit.server import embedded; embedded.unavailable_reason();"
        "import sys; print(time.process_time() - started);"
        "print([m for m in ('grpc', 'onnx', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LOCKS.parents[2]
    )
    seconds, heavy = done.stdout.split("\n")[:2]
    assert float(seconds) < 1.0
    assert heavy == "[]"


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("glibc", "2.36", None),
        ("glibc", "2.35", None),
        (
            "glibc",
            "2.31",
            "the embedded server needs glibc 2.35 or newer and this system has 2.31; use --engine docker",
        ),
        ("", "", "the embedded server needs glibc and this system has another C library (musl?); use --engine docker"),
    ],
)
def test_the_c_library(name: str, version: str, message: str | None) -> None:
    assert environment._libc_reason(name, version) == message


@pytest.mark.skipif(sys.platform != "linux", reason="the reason is another one there")
class TestInterpreters:
    @pytest.fixture(autouse=True)
    def _fresh(self) -> object:
        interpreter.find.cache_clear()
        yield
        interpreter.find.cache_clear()

    def test_the_named_one_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = interpreter.find()
        assert found is not None
        interpreter.find.cache_clear()
        monkeypatch.setenv("KIT_SERVER_PYTHON", str(found.executable))
        assert interpreter.find() == found

    def test_one_that_is_none_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KIT_SERVER_PYTHON", "/bin/false")
        reason = environment.unavailable_reason()
        assert reason is not None
        assert reason.startswith("the embedded server needs a CPython 3.10, 3.11 or 3.12 with its shared library")
        assert "KIT_SERVER_PYTHON=/bin/false is none" in reason
        with pytest.raises(ServerUnavailableError, match="KIT_SERVER_PYTHON=/bin/false is none"):
            environment.prepare((), lambda _: None)

    def test_what_does_not_start_is_none(self, tmp_path: Path) -> None:
        broken = tmp_path / "python3.12"
        broken.write_text("#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
        broken.chmod(0o755)
        assert interpreter.probe(broken) is None
        assert interpreter.probe(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("ERROR: No matching distribution found for numpy==1.26.4", "No matching distribution found for numpy==1.26.4"),
        ("WARNING: Retrying\nERROR: Could not install: no space left\n\n", "Could not install: no space left"),
        ("Error: something else", "Error: something else"),
        ("", "no reason was given"),
    ],
)
def test_pips_own_reason(output: str, reason: str) -> None:
    assert installing.pip_reason(output) == reason


@pytest.mark.skipif(environment.unavailable_reason() is not None, reason="no server can run here")
def test_nothing_half_made_stays_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (tmp_path / "server" / "server-0.partial").mkdir(parents=True)  # of a process that was killed
    told: list[str] = []
    message = "could not install the server's packages: .*No matching distribution.*; check the connection"
    with pytest.raises(DownloadError, match=message) as raised:
        environment.prepare((), told.append)
    assert "\n" not in str(raised.value)
    assert [p.name for p in (tmp_path / "server").iterdir()] == ["lock"]
    assert told == [f"installing Triton's server packages, once (into {tmp_path / 'server'})"]
