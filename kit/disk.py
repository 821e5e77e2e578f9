"""Writing so that a kill, a power cut or a full disk leaves what stood there, or what is new: never a mix."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import DiskFullError, NotWritableError, RepositoryBusyError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

OUTPUT_REMEDY = "choose another --output"
CACHE_REMEDY = "set KIT_CACHE_DIR to a folder that can be written"


@contextmanager
def translated(place: Path, remedy: str = OUTPUT_REMEDY, verb: str = "written") -> Iterator[None]:
    """Turn the operating system's refusals below ``place`` into ``DiskFullError`` and ``NotWritableError``.

    ``remedy`` says what the user can do, ``verb`` what was tried. An error without a number is no refusal of the
    disk (``urllib`` and ``ssl`` have such) and passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"no space left for {place}: free some, or {remedy}; what stood there still stands"
            ) from error
        if error.errno is None:
            raise
        where = error.filename or place
        raise NotWritableError(f"{where} cannot be {verb}: {error.strerror}; {remedy}") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside its place, then in it. Raises ``OSError``."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, for the few milliseconds of a change; a kill releases it. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unused(lock: Path, what: str) -> Iterator[None]:
    """Let nobody begin to use ``what``; its users share a lock file. Raises ``RepositoryBusyError`` where one does."""
    descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RepositoryBusyError(f"a run is using {what}; try again when it has ended") from error
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Ask the disk to hold a file's or folder's content now. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Sync every file and folder below ``root``, and ``root`` last."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


def exchange(new: Path, old: Path) -> bool:
    """Swap two folders in one step; return False where the file system cannot.

    Linux's ``renameat2(RENAME_EXCHANGE)``: https://man7.org/linux/man-pages/man2/rename.2.html. Raises ``OSError``.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(old))


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links. Raises ``OSError``."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in _FULL:
            raise
        shutil.copy2(source, target)
