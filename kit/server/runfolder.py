"""A running server's own folder: its backends, its log, and the lock that says it lives.

``<cache>/server/run/<prefix>``; ``prefix`` (``kit-PID-TOKEN-``) begins the names of the server's shared memory
regions, too. The lock is held by the server's keeper. What dead servers left is swept at the next start.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit import paths
from kit.environments.installing import cache_translated
from kit.server import keeper
from kit.server.environment import ServerEnvironment

_BACKENDS = Path(__file__).parent / "backends"
_UNPACKED = "/tmp/python_env_*"  # noqa: S108 (Triton's, not ours)
_STARTING_S = 5.0


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """``lock`` is the locked file's descriptor: hand it to the keeper, then close it."""

    path: Path
    lock: int

    @property
    def prefix(self) -> str:
        """Return how the names of the server's shared memory regions begin."""
        return self.path.name

    @property
    def backends(self) -> Path:
        """Return Triton's backend directory."""
        return self.path / "backends"

    @property
    def log(self) -> Path:
        """Return the log of a server that was given no other."""
        return self.path / "server.log"

    def remove(self) -> None:
        """Delete the folder and the shared memory of a server that has ended."""
        keeper.sweep(self.prefix)
        _sweep_unpacked(self.path)
        shutil.rmtree(self.path, ignore_errors=True)


def make(environment: ServerEnvironment) -> RunFolder:
    """Sweep what dead servers left, then make and lock a new folder with the backends in it. Takes about 10 ms.

    Raises ``NotWritableError`` and ``DiskFullError``.
    """
    with cache_translated():
        return _make(environment)


def in_use() -> bool:
    """Whether a server of this cache folder runs or is being installed. Takes milliseconds; raises nothing."""
    root = paths.cache_root() / "server"
    return any(_is_held(lock) for lock in (root / "lock", *root.glob("run/kit-*/lock")))


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # it is not there, or not ours to read
    return False


def _make(environment: ServerEnvironment) -> RunFolder:
    runs = paths.cache_root() / "server" / "run"
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / "lock").open("w") as guard:  # or a new folder might be swept before it is locked
        fcntl.flock(guard, fcntl.LOCK_EX)
        for stale in runs.iterdir():
            if stale.is_dir():
                _sweep(stale)
        path = runs / f"kit-{os.getpid()}-{secrets.token_hex(4)}-"
        path.mkdir()
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    folder = RunFolder(path=path, lock=lock)
    _assemble(folder.backends, environment)
    return folder


def _sweep(stale: Path) -> None:
    try:
        lock = os.open(stale / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return  # its server ended just now, and took it away
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # its keeper lives
    finally:
        os.close(lock)
    keeper.sweep(stale.name)
    _sweep_unpacked(stale)
    shutil.rmtree(stale, ignore_errors=True)


def _sweep_unpacked(run: Path) -> None:
    """Delete the empty folder that Triton's Python backend makes when it starts, and leaves when it is killed.

    It is for packed environments, which our repositories do not have, and its place is fixed in the source:
    https://github.com/triton-inference-server/python_backend/blob/main/src/pb_env.cc. Its name does not say whose it
    is; its time does, nearly: of several servers of ours that start together, none needs it.
    """
    try:
        started = (run / "lock").stat().st_ctime
        for folder in Path(_UNPACKED).parent.glob(Path(_UNPACKED).name):
            seen = folder.lstat()
            if seen.st_uid == os.getuid() and 0 <= seen.st_ctime - started <= _STARTING_S:
                with suppress(OSError):  # somebody needs it: it is not empty
                    folder.rmdir()
    except OSError:
        return  # the run's folder went, or a place that may not be looked at


def _assemble(folder: Path, environment: ServerEnvironment) -> None:
    """Lay out the backend directory: Triton's Python backend with its stub beside it, and ours.

    Triton refuses a backend library that is a symbolic link out of the directory, so files are linked hard.
    """
    python = folder / "python"
    python.mkdir(parents=True)
    for source in (*(environment.triton / "backends" / "python").iterdir(), environment.stub):
        if source.is_file():
            _link(source, python / source.name)
    for source in sorted(_BACKENDS.iterdir()):
        if (source / "model.py").exists():
            (folder / source.name / "shared").mkdir(parents=True)
            shutil.copy(source / "model.py", folder / source.name)
            for module in (_BACKENDS / "shared").glob("*.py"):
                shutil.copy(module, folder / source.name / "shared")
    for backend, layer in environment.layers.items():
        # Triton puts a backend's folder on sys.path, and lets its stub ignore PYTHONPATH.
        for package in layer.iterdir():
            (folder / backend / package.name).symlink_to(package)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)  # a file system without hard links
