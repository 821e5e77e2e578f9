"""Files in memory that a server on the same machine sees too (system shared memory).

The file's owner holds a lock on it, which ends with the process however that ends; so a file without a lock is one that
nobody misses, and the next client sweeps it, in whatever container it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 (where shm_open looks on Linux)
PREFIX = "kit-stream-"
_PAGE_BYTES = 4096


@dataclass(kw_only=True)
class Ring:
    """A mapped file of ``count`` slots of ``slot_bytes``, which is locked while it lives."""

    path: Path
    descriptor: int
    memory: mmap.mmap
    slot_bytes: int
    count: int

    @property
    def byte_size(self) -> int:
        """All slots."""
        return self.slot_bytes * self.count

    def slot(self, index: int, byte_size: int) -> memoryview:
        """Return a slot's first bytes."""
        start = index * self.slot_bytes
        return memoryview(self.memory)[start : start + byte_size]

    def remove(self) -> None:
        """Take the file's name away; the memory stays while it is mapped."""
        self.path.unlink(missing_ok=True)
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1  # the number may be another file's by the next call


def create(byte_size: int, count: int) -> Ring:
    """Make a ring, its memory really there: a write to more than there is would end this process.

    Raises ``OSError``, for example where the folder is full (in a container it holds 64 MB by default).
    """
    slot_bytes = -(-byte_size // _PAGE_BYTES) * _PAGE_BYTES
    path = FOLDER / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(descriptor, 0, slot_bytes * count)
        memory = mmap.mmap(descriptor, slot_bytes * count)
    except OSError:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return Ring(path=path, descriptor=descriptor, memory=memory, slot_bytes=slot_bytes, count=count)


def sweep() -> tuple[str, ...]:
    """Remove the files of clients that have ended, and return their names."""
    swept = []
    for path in FOLDER.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another's, or gone just now
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                # A file without memory was made this moment, and its owner is about to lock it.
                if os.fstat(descriptor).st_blocks or time.time() - os.fstat(descriptor).st_mtime > 1:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    swept.append(path.name)
            finally:
                os.close(descriptor)
    return tuple(swept)
