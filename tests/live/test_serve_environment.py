"""The server's environment is made for real: by two processes at once, over what a killed one left."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kit.server import embedded, environment
from kit.server.interface import ServerOptions

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.usefixtures("embedded_server_runs")]

ROOT = Path(__file__).parents[2]
PREPARE = "from kit.server import environment; print(environment.prepare((), lambda line: print(line)).root)"


def commands() -> list[str]:
    """Return the command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended while we looked
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_it_is_made_once_and_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    command = [sys.executable, "-c", PREPARE]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    server = tmp_path / "cache" / "server"
    while not any("--require-hashes" in command and str(server) in command for command in commands()):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()  # it alone: pip must end with it
    killed.wait()
    until = time.monotonic() + 60  # a busy disk holds a process for a while after its end
    while any(str(server) in p for p in commands()):
        assert time.monotonic() < until, "pip lives on"
        time.sleep(0.1)
    assert list(server.glob("*.partial"))
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("installing" in line for lines in said for line in lines) == 1
    assert said[0][-1] == said[1][-1]
    assert sorted(p.name for p in server.iterdir()) == ["lock", Path(said[0][-1]).name]
    (tmp_path / "repository").mkdir()
    with embedded.running(ServerOptions(repository=tmp_path / "repository", load_at_start=False)) as running:
        assert running.ready_models() == ()
    assert not list((server / "run").glob("kit-*"))


def test_a_missing_libpython_is_told_and_nothing_hangs(tmp_path: Path) -> None:
    """Where it is missing, a server would wait for its stub for ever."""
    made = environment.prepare((), lambda _: None)
    folder = tmp_path / "lib" / "python3.8" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "pytriton").symlink_to(made.packages / "pytriton")
    (folder / "nvidia_pytriton.libs").symlink_to(made.packages / "nvidia_pytriton.libs")
    broken = environment.ServerEnvironment(root=tmp_path, version=(3, 8), library=None)  # no such Python is here
    with pytest.raises(environment.ServerUnavailableError, match=r"stub does not start: .*libpython3\.8"):
        environment.check_stub(broken)
