"""The content-addressed cache: what a stage made, found again by what it was made from.

An entry is a folder of files. Its key is the digest of the stage's name, its inputs' digests, its
parameters, the versions of its tools and the kit's own code. It is built under a temporary name and
renamed, so that an entry is either whole or absent, whatever was killed when.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.metadata
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

import kit
from kit import disk, environments
from kit.paths import cache_root

T = TypeVar("T")

_VALUE = "value.json"
_LOCK = "stages.lock"
_OWN = "kit-cache-entry-5f0c9a7e:/"
"""Begins the paths in a value that lie in the entry itself; what else the user names is no ``Path`` of ours."""

_ABANDONED_AFTER_S = 24 * 3600


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's content in lower-case hex. Raises ``OSError``."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tool_version(distribution: str) -> str:
    """Return the installed version of a distribution, or ``absent``.

    ``nncf/onnx`` is ``onnx`` in the environment ``nncf`` of ``kit.environments``, made yet or not.
    """
    environment, inside, package = distribution.partition("/")
    if inside:
        return environments.packages_version(environment, package)
    try:
        return _installed(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


_installed = functools.cache(importlib.metadata.version)
"""Reading the metadata of one takes a millisecond, and a run asks fifty times."""


@functools.cache
def code_digest() -> str:
    """Return the digest of the kit's own Python files and recipes: a changed kit finds none of its old results."""
    root = Path(kit.__file__).parent
    digest = hashlib.sha256()
    for path in sorted((*root.rglob("*.py"), *root.rglob("recipes.toml"))):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Key:
    """Everything that a stage's result depends on, besides the kit's code."""

    stage: str
    inputs: tuple[str, ...]
    parameters: object = None
    tools: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return the cache key in hex."""
        versions = {tool: tool_version(tool) for tool in self.tools}
        parts = (self.stage, self.inputs, self.parameters, versions, code_digest())
        return hashlib.sha256(msgspec.json.encode(parts, enc_hook=str, order="sorted")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A folder of entries. With ``fresh`` nothing is found; what is made is kept all the same."""

    root: Path = field(default_factory=lambda: cache_root() / "stages")
    fresh: bool = False

    def find(self, key: Key, kind: type[T]) -> T | None:
        """Return the value that was stored under ``key``, or None. Paths in it point into the cache."""
        return None if self.fresh else _read(self._folder(key), kind)

    def make(self, key: Key, kind: type[T], build: Callable[[Path], T]) -> T:
        """Call ``build(folder)``, store the files that it wrote there and its value, and return that value.

        Raises what ``build`` raises; nothing is stored then.
        """
        target = self._folder(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=self.root) as name:
            folder = Path(name) / "entry"
            folder.mkdir()
            (folder / _VALUE).write_bytes(_encode_entry(build(folder), folder))
            _place(folder, target)
        stored = _read(target, kind)
        assert stored is not None
        return stored

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let nobody clear the cache meanwhile; waits for one who is clearing it. Runs do not wait for each other.

        Where the lock cannot be made nothing else can be either, and ``make`` says so.
        """
        try:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root.with_name(_LOCK), os.O_RDONLY | os.O_CREAT, 0o644)
        except OSError:
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def entries(self) -> Iterable[Path]:
        """Yield the folder of each entry."""
        return (value.parent for value in self.root.glob(f"*/*/{_VALUE}"))

    def sweep(self) -> None:
        """Delete what runs that were killed a day ago left behind; a younger one may be at work.

        Raises ``NotWritableError`` where the cache cannot be read.
        """
        import time

        with disk.translated(self.root, disk.CACHE_REMEDY, "read"):
            left = list(self.root.glob("making-*"))
        for folder in left:
            with suppress(OSError):  # its run has just ended
                if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, key: Key) -> Path:
        digest = key.digest()
        return self.root / digest[:2] / digest


def _read(folder: Path, kind: type[T]) -> T | None:
    """Return an entry's value; None where there is none, or where a part of it has gone."""
    try:
        value = _decode_entry((folder / _VALUE).read_bytes(), kind, folder)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    with suppress(OSError):  # a cache that is only read
        os.utime(folder)
    return value


def _encode_entry(value: object, folder: Path) -> bytes:
    """Return a value as JSON in which the paths below ``folder`` do not depend on where that is."""

    def plain(part: object) -> str:
        own = isinstance(part, Path) and part != folder and part.is_relative_to(folder)
        return f"{_OWN}{part.relative_to(folder)}" if own and isinstance(part, Path) else str(part)

    return msgspec.json.encode(value, enc_hook=plain)


def _decode_entry(text: bytes, kind: type[T], folder: Path) -> T:
    """Return the value that ``_encode_entry`` wrote. Raises ``FileNotFoundError`` where a file of it has gone."""

    def rich(wanted: type[Any], part: Any) -> Any:
        if wanted is not Path or not isinstance(part, str) or not part.startswith(_OWN):
            return wanted(part)
        path = folder / part.removeprefix(_OWN)
        path.stat()
        return path

    return msgspec.json.decode(text, type=kind, dec_hook=rich)


def _place(made: Path, target: Path) -> None:
    """Put an entry at its place; what stands there stands until then, for another run may be reading it."""
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        if not disk.exchange(made, target):
            target.rename(made.with_name("replaced"))
            made.rename(target)


def folder_size(folder: Path) -> int:
    """Return the bytes that the files below ``folder`` take."""
    return sum(_size(path) for path in folder.rglob("*"))


def _size(path: Path) -> int:
    try:
        status = path.lstat()
    except FileNotFoundError:  # a run that is at work has just moved it
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the cache folder holds."""

    root: Path
    entries: int
    stages_bytes: int
    server_bytes: int
    environments_bytes: int


def usage() -> Usage:
    """Return how much is kept. Raises ``NotWritableError`` where the cache cannot be read."""
    root = cache_root()
    with disk.translated(root, disk.CACHE_REMEDY, "read"):
        if root.is_dir():
            os.scandir(root).close()  # globbing takes a folder that may not be read for an empty one
        return Usage(
            root=root,
            entries=sum(1 for _ in Cache().entries()),
            stages_bytes=folder_size(root / "stages"),
            server_bytes=folder_size(root / "server"),
            environments_bytes=folder_size(root / "environments"),
        )


def clear(*, server: bool, tools: bool = False) -> Usage:
    """Delete the results of all stages, with ``server`` the embedded server too; return what there was.

    ``tools`` are the environments of ``kit.environments``.
    Raises ``RepositoryBusyError`` where a run is at work, and ``NotWritableError``. Whether a server is at work
    the caller finds out: ``kit.server.runfolder.in_use``.
    """
    before = usage()
    if not before.root.is_dir():
        return before
    also = [*(["server"] if server else []), *(["environments"] if tools else [])]
    idle = environments.unused() if tools else nullcontext()
    alone = disk.unused(before.root / _LOCK, "the cache")
    with disk.translated(before.root, disk.CACHE_REMEDY, "cleared"), alone, idle:
        for name in ("stages", *also):
            _delete(before.root / name)
    return before


def _delete(folder: Path) -> None:
    """Delete a folder. A link stays, and what it points at: somebody put it there."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
