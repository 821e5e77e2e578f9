"""Who uses the server's folders, and what is said where they cannot be written."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.environments import installing
from kit.errors import DiskFullError, NotWritableError
from kit.server import environment, runfolder

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("place", ["lock", "run/kit-1-ab-/lock"])
def test_a_held_lock_means_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path))
    assert not runfolder.in_use()
    lock = tmp_path / "server" / place
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert not runfolder.in_use()
    with lock.open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert runfolder.in_use()
    assert not runfolder.in_use()


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (PermissionError(13, "Permission denied", "/c/x"), NotWritableError, "/c/x: Permission denied; name another"),
        (OSError(28, "No space left on device", "/c/x"), DiskFullError, "no space left for .*KIT_CACHE_DIR"),
        (PermissionError(13, "Permission denied", "/elsewhere"), PermissionError, "/elsewhere"),
        (OSError(5, "Input/output error"), OSError, "Input/output error"),
    ],
)
def test_what_the_system_refuses_names_the_variable(
    error: OSError, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", "/c")
    with pytest.raises(kind, match=message), installing.cache_translated():
        raise error


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or environment.unavailable_reason() is not None,
    reason="needs root, to be somebody else",
)
def test_a_cache_that_another_user_cannot_write(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from kit.errors import NotWritableError\n"
        "from kit.server import environment\n"
        "try:\n    environment.prepare((), print)\n"
        "except NotWritableError as error:\n    print(error)\n"
    )
    variables = {**os.environ, "KIT_CACHE_DIR": str(tmp_path / "cache")}
    probe = subprocess.run([*NOBODY, sys.executable, "-c", ""], check=False, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("nobody may not run this Python")
    done = subprocess.run(
        [*NOBODY, sys.executable, "-c", code], env=variables, check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith(f"the cache folder {tmp_path / 'cache'} cannot be used: {tmp_path / 'cache'}")
    assert "Permission denied; name another folder with KIT_CACHE_DIR" in done.stdout


def test_what_a_killed_python_backend_leaves_is_swept_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runfolder, "_UNPACKED", str(tmp_path / "python_env_*"))
    older, other = tmp_path / "python_env_older", tmp_path / "another"
    older.mkdir()
    time.sleep(0.05)
    run = tmp_path / "kit-1-a-"
    run.mkdir()
    lock = os.open(run / "lock", os.O_RDWR | os.O_CREAT)
    mine, used = tmp_path / "python_env_mine", tmp_path / "python_env_used"
    for folder in (mine, used, other):
        folder.mkdir()
    (used / "bin").mkdir()
    runfolder.RunFolder(path=run, lock=lock).remove()
    os.close(lock)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["another", "python_env_older", "python_env_used"]


def test_a_server_that_ends_while_another_starts_is_no_error(tmp_path: Path) -> None:
    """It takes its folder away between the look and the sweep."""
    runfolder._sweep(tmp_path / "kit-1-a-")
    assert list(tmp_path.iterdir()) == []
