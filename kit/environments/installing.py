"""Folders of installed packages that are whole or not there: built under another name, then renamed, under a lock."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit import paths
from kit.environments.progress import folder_progress
from kit.errors import DiskFullError, NotWritableError
from kit.signals import deferred

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
# A program that becomes the command in its arguments, which Linux ends when the kit is killed: pip would go on for
# a minute. 1 is PR_SET_PDEATHSIG of <linux/prctl.h>; it outlives exec. Other systems let it go on: its folder has a
# name of its own, which nobody takes for a whole one.
_DIES_WITH_PARENT = (
    "import ctypes, os, signal, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class InstallError(Exception):
    """A program that installs ended with an error; the message is its own last word, in one line."""


def build(
    folder: Path,
    install: Callable[[Path, Path], None],
    *,
    is_whole: Callable[[Path], bool],
    description: str,
    size: int,
    announce: Callable[[str], None],
) -> None:
    """Make ``folder``, if nobody has: ``install(partial, scratch)`` fills ``partial``, a name that is not looked at.

    Progress is shown until it has ``size`` bytes. Raises what ``install`` raises; nothing half-made stays, after
    Ctrl-C neither, and what a killed run left is swept.
    """
    with only_one(folder.parent):
        if is_whole(folder):
            return  # another process made it while this one waited
        # A name of its own: a child of a kit that was killed may still be writing to the folder of its try.
        partial = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}.partial")
        for stale in folder.parent.glob("*.partial"):
            shutil.rmtree(stale, ignore_errors=True)
        try:
            with folder_progress(description, partial, size, announce):
                scratch = partial / "tmp"
                scratch.mkdir(parents=True)
                install(partial, scratch)
                shutil.rmtree(scratch)
        except BaseException:  # Ctrl-C too: whatever happened, nothing half-made stays
            with deferred():
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)


def install_lock(python: Path, lock: Path, scratch: Path, *arguments: str) -> None:
    """Let pip of ``python`` install exactly what a lock says, wheels only. Raises ``InstallError``, ``OSError``.

    pip's own settings are used: ``PIP_INDEX_URL``, ``pip.conf``.
    """
    exactly = ("--no-deps", "--require-hashes", "--no-compile", "--only-binary=:all:")
    quiet = ("--no-input", "--disable-pip-version-check", "--quiet")
    run([python, "-m", "pip", "install", *exactly, *quiet, *arguments, "-r", lock], scratch)


def run(command: Sequence[str | Path], scratch: Path) -> None:
    """Run a program that ends with the kit; ``scratch`` is its temporary folder.

    Raises ``InstallError`` with its last words, and ``OSError`` where the disk is full.
    """
    variables = {**os.environ, "TMPDIR": str(scratch)}
    for name in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_USER", "PIP_PREFIX"):
        variables.pop(name, None)
    bound = [sys.executable, "-I", "-S", "-c", _DIES_WITH_PARENT, *command]
    try:
        done = subprocess.run(bound, capture_output=True, text=True, env=variables, check=False)
    except OSError as error:
        raise InstallError(f"{sys.executable} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        reason = pip_reason(done.stderr or done.stdout)
        if any(words in reason for words in _FULL_WORDS):
            raise OSError(errno.ENOSPC, reason)
        raise InstallError(reason)


def pip_reason(output: str) -> str:
    """Return the line of pip's output that says what went wrong, without its label."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["no reason was given"])[-1][:300]


@contextmanager
def cache_translated() -> Iterator[None]:
    """Turn the operating system's refusals in the cache folder into ``DiskFullError`` and ``NotWritableError``."""
    try:
        yield
    except OSError as error:
        root = paths.cache_root()
        if error.errno in _FULL:
            raise DiskFullError(
                f"no space left for {root}: free some, or name another folder with KIT_CACHE_DIR"
            ) from error
        where = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else root
        if error.errno in _REFUSED and (where.is_relative_to(root) or root.is_relative_to(where)):
            raise NotWritableError(
                f"the cache folder {root} cannot be used: {where}: {error.strerror}; name another "
                "folder with KIT_CACHE_DIR"
            ) from error
        raise


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; a process that dies lets go of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
