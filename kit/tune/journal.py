"""What was measured, kept while it is measured: a tuning that was broken off goes on where it was.

A file of JSON lines: the first says of which job it is, each other one is a measurement. A line is on the disk before
the next measurement begins; a last line that was torn by a power cut is left out.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path

import msgspec

from kit import disk, machine
from kit.cache import file_digest
from kit.errors import TuneError
from kit.paths import cache_root
from kit.tune.predicting import Service
from kit.tune.subject import Subject
from kit.tune.values import Candidate, Job, Measurement, Stage

_FORMAT = "triton-edge-kit-tune/1"
_REMEDY = "choose another --journal"
_CPU = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Head:
    """A journal's first line. ``key`` is the digest of all that a measurement depends on."""

    format: str = _FORMAT
    key: str
    model: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """Any other line: a service time or a measurement."""

    service: Service | None = None
    measurement: Measurement | None = None


@dataclass(kw_only=True)
class Journal:
    """The measurements of a job. Those of earlier runs are given out once each, in their order."""

    path: Path
    file: RawIOBase = field(repr=False)
    written_s: float | None = None
    """When the last of what was there already was measured, by the clock of the day."""
    _services: dict[Candidate, list[Service]] = field(default_factory=dict)
    _measurements: dict[tuple[Stage, Candidate], list[Measurement]] = field(default_factory=dict)

    def service(self, candidate: Candidate) -> Service | None:
        """Return what was measured of a candidate alone, if it was."""
        kept = self._services.get(candidate)
        return kept.pop(0) if kept else None

    def measurement(self, stage: Stage, candidate: Candidate) -> Measurement | None:
        """Return the next measurement of a candidate in a stage that is there already."""
        kept = self._measurements.get((stage, candidate))
        return kept.pop(0) if kept else None

    def keep(self, line: Line) -> None:
        """Write a line, and wait until the disk has it. Raises ``DiskFullError`` and ``NotWritableError``."""
        with disk.translated(self.path, _REMEDY):
            _write(self.file, line)

    def remember(self, line: Line) -> None:
        """Take a line of an earlier run."""
        if line.service is not None:
            self._services.setdefault(line.service.candidate, []).append(line.service)
        if line.measurement is not None:
            key = (line.measurement.stage, line.measurement.candidate)
            self._measurements.setdefault(key, []).append(line.measurement)


def place_of(job: Job, subject: Subject) -> Path:
    """Return the file of a job's journal: its own choice, or one in the user's cache folder."""
    return job.journal or cache_root() / "tune" / f"{job.model}-{key_of(job, subject)[:16]}.jsonl"


@contextmanager
def opened(job: Job, subject: Subject) -> Iterator[Journal]:
    """Open a job's journal, or begin it; one of the same job goes on unless the job is to be measured afresh.

    Raises ``TuneError`` where the file is the journal of another job, or none, and ``NotWritableError``.
    """
    path, key = place_of(job, subject), key_of(job, subject)
    with disk.translated(path, _REMEDY):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = b"" if job.fresh or not path.exists() else path.read_bytes()
        written_s = path.stat().st_mtime if content else None
    whole, lines = _read(content, path, key)
    with disk.translated(path, _REMEDY):
        file = path.open("r+b" if path.exists() else "w+b", buffering=0)  # a buffer would be written again at the end
    with file:
        journal = Journal(path=path, file=file, written_s=written_s)
        with disk.translated(path, _REMEDY):
            file.truncate(whole)
            file.seek(whole)
            if not whole:
                _write(file, Head(key=key, model=job.model, target=job.target))
        for line in lines:
            journal.remember(line)
        yield journal


def key_of(job: Job, subject: Subject) -> str:
    """Return the digest of all that a measurement depends on: the files, the need, the machine and the place.

    The limits are not in it: what was measured holds in a wider or narrower search too.
    """
    files = [
        (name, inside, file_digest(path))
        for name, variant in sorted(subject.variants.items())
        for inside, path in sorted(variant.files().items())
    ]
    texts = [(name, variant.text) for name, variant in sorted(subject.variants.items())]
    place = job.url or f"{job.engine} on {platform.node()}"
    parts = (
        _FORMAT,
        job.model,
        job.target,
        job.need,
        files,
        texts,
        place,
        machine.cores(),
        _cpu(),
        _images(job.images),
    )
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def _read(content: bytes, path: Path, key: str) -> tuple[int, list[Line]]:
    """Return how many bytes of a journal are whole lines, and those lines."""
    whole = content.rfind(b"\n") + 1
    if not whole:
        if content:
            raise TuneError(f"{path} is no journal of a tuning; choose another --journal")
        return 0, []
    head, *rest = content[:whole].splitlines()
    try:
        said = msgspec.json.decode(head, type=Head)
    except msgspec.MsgspecError as error:
        raise TuneError(f"{path} is no journal of a tuning; choose another --journal") from error
    if said.key != key:
        raise TuneError(
            f"{path} is the journal of another tuning ({said.model} on {said.target}, or another need, model or "
            "machine); choose another --journal, or begin it anew: --fresh"
        )
    lines = []
    for line in rest:
        with suppress(msgspec.MsgspecError):  # torn by a power cut, and written after since
            lines.append(msgspec.json.decode(line, type=Line))
    return whole, lines


def _write(file: RawIOBase, line: Head | Line) -> None:
    left = memoryview(msgspec.json.encode(line) + b"\n")
    while left:
        left = left[file.write(left) or 0 :]
    os.fsync(file.fileno())


def _cpu() -> str:
    with suppress(OSError):
        for line in _CPU.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _images(folder: Path | None) -> list[tuple[str, int, int]]:
    if folder is None or not folder.is_dir():
        return []
    found = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]
