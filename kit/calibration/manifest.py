"""calibration.json: which pictures were chosen, by digest, so that the same ones are taken again or none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from kit import disk
from kit.cache import file_digest
from kit.calibration import listing
from kit.calibration.listing import MANIFEST_FORMAT
from kit.calibration.sets import CalibrationSet, Choice, Coverage
from kit.calibration.survey import frame_digest
from kit.errors import CalibrationError, UsageError
from kit.types import Picture


class _Line(msgspec.Struct):
    """One picture; ``path`` is relative to the manifest's folder, with ``/``. ``sha256`` is its file's."""

    path: str
    sha256: str
    frame: int | None
    rank: int
    kind: int
    brightness: float
    print: str


class _Document(msgspec.Struct):
    format: str
    digest: str
    coverage: Coverage
    warnings: tuple[str, ...]
    pictures: list[_Line]


def write(made: CalibrationSet, path: Path) -> None:
    """Write a set, whole or not at all. The same set gives the same bytes.

    Raises ``NotWritableError``, ``DiskFullError``, and ``CalibrationError`` where a picture has changed meanwhile.
    """
    document = _Document(
        format=MANIFEST_FORMAT, digest=made.digest, coverage=made.coverage, warnings=made.warnings,
        pictures=_lines(made, path.resolve().parent),
    )  # fmt: skip
    text = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    with disk.translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            partial = Path(folder) / path.name
            partial.write_bytes(text)
            disk.sync(partial)
            partial.replace(path)


def read(path: Path) -> CalibrationSet:
    """Return the set of a manifest, whose pictures are all there and hold what they held.

    Raises ``CalibrationError`` that names the first that does not.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror}; run kit calibration to make one") from error
    except msgspec.MsgspecError as error:
        raise CalibrationError(f"{path} is no manifest of a calibration set: {error}; run kit calibration") from error
    _require_unchanged(path, document.pictures)
    folder = path.parent
    choices = tuple(
        Choice(
            picture=Picture(
                path=_joined(folder, line.path),
                digest=line.sha256 if line.frame is None else frame_digest(line.sha256, line.frame),
                frame=line.frame,
            ),
            rank=line.rank, kind=line.kind, brightness=line.brightness, print=line.print,
        )
        for line in document.pictures
    )  # fmt: skip
    made = CalibrationSet(choices=choices, coverage=document.coverage, warnings=document.warnings)
    if made.digest != document.digest or len(choices) < 1:
        raise CalibrationError(
            f"{path} was edited: its list of pictures is not the one that was chosen; run kit calibration"
        )
    return made


def _lines(made: CalibrationSet, folder: Path) -> list[_Line]:
    files = {p.path: file_digest(p.path) for p in made.pictures if p.frame is not None}
    lines = []
    for choice in made.choices:
        picture = choice.picture
        file = picture.digest if picture.frame is None else files[picture.path]
        if picture.frame is not None and frame_digest(file, picture.frame) != picture.digest:
            raise CalibrationError(f"{picture.path} has changed since its frames were chosen; choose again")
        place = Path(os.path.relpath(picture.path.resolve(), folder)).as_posix()
        lines.append(
            _Line(
                path=place,
                sha256=file,
                frame=picture.frame,
                rank=choice.rank,
                kind=choice.kind,
                brightness=choice.brightness,
                print=choice.print,
            )
        )
    return lines


def _require_unchanged(path: Path, lines: list[_Line]) -> None:
    expected = {line.path: line.sha256 for line in lines}
    digests = {place: _digest(_joined(path.parent, place)) for place in expected}
    gone = [place for place, digest in digests.items() if digest is None]
    changed = [place for place, digest in digests.items() if digest not in (None, expected[place])]
    for places, what in ((gone, "are not there any more"), (changed, "have changed")):
        if places:
            raise CalibrationError(
                f"{len(places)} of {len(expected)} files that {path} names {what} (first: {places[0]}); "
                "bring them back, or run kit calibration again"
            )


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _joined(folder: Path, place: str) -> Path:
    return Path(os.path.normpath(folder / place))


def require_replaceable(path: Path) -> None:
    """Refuse to write over what is no manifest. Raises ``UsageError``."""
    if not path.exists():
        return
    try:
        ours = listing.of(path).manifest is not None
    except CalibrationError:
        ours = False
    if not ours:
        raise UsageError(f"{path} is there and is no calibration set; choose another --output")
