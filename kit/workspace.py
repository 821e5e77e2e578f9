"""A hidden folder beside a repository, on the same file system, in which a model's folder is built whole.

It is deleted at the end; that of a killed run is swept by the next.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kit import disk

_STAGING = "staging-"


@contextmanager
def opened(output: Path) -> Iterator[Path]:
    """Yield an empty folder on the repository's file system, deleted at the end; sweep those of killed runs.

    An interruption can come between any two lines, those that clean up included: what it made them skip is done
    when the process ends. Raises ``NotWritableError`` and ``DiskFullError``.
    """
    staging = _Staging(root(output))
    atexit.register(staging.leave)
    try:
        with disk.translated(output):
            staging.claim()
        yield staging.folder
    finally:
        staging.leave()
        atexit.unregister(staging.leave)


def root(output: Path) -> Path:
    """Return the place for staging: beside the repository, or in it where only that is on the same file system."""
    resolved = output.resolve()
    beside = resolved.parent / f".{resolved.name}.kit"
    if resolved.exists() and (
        resolved.parent.stat().st_dev != resolved.stat().st_dev or not os.access(resolved.parent, os.W_OK)
    ):
        return resolved / ".kit"
    return beside


def staging_root(folder: Path) -> Path:
    """Return the repository inside a workspace, made if need be: empty, or with one staged model in it."""
    root = folder / "repository"
    with disk.translated(folder):
        root.mkdir(exist_ok=True)
    return root


def scratch_folder(folder: Path) -> Path:
    """Make a folder inside a workspace for what nobody keeps: it is swept with the workspace after a kill."""
    scratch = folder / "scratch"
    with disk.translated(folder):
        scratch.mkdir()
    return scratch


class _Staging:
    """A locked folder in ``root``, and the folders above it that did not exist before."""

    def __init__(self, root: Path) -> None:
        self.folder = root / f"{_STAGING}{uuid.uuid4().hex}"
        self._made = [root, *(p for p in root.parents if not p.exists())]
        self._lock: int | None = None
        self._owner = os.getpid()

    def claim(self) -> None:
        """Make the folder and lock it; sweep the staging of killed runs. Raises ``OSError``."""
        root = self.folder.parent
        while self._lock is None:
            root.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError), disk.locked(root):  # a run that ended just now may have removed the root
                _sweep(root)
                self.folder.mkdir(mode=0o700)
                self._lock = os.open(self.folder, os.O_RDONLY)
                fcntl.flock(self._lock, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Delete what was made; a second call finishes what an interrupted one left. Not for a forked child."""
        if os.getpid() != self._owner:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # another run's staging is in it, or the repository
            for empty in self._made:
                empty.rmdir()


def _sweep(root: Path) -> None:
    """Delete the staging of killed runs: a living run holds a lock on its own."""
    for folder in root.glob(f"{_STAGING}*"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
