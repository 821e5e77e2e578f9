"""What a source of pictures holds: a folder of images and videos, a COCO set, a video, or a manifest.

Nothing is decoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kit.errors import CalibrationError
from kit.inputs import IMAGE_SUFFIXES

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv"})
SET_SUFFIXES = VIDEO_SUFFIXES | {".json"}
"""Of files that hold pictures and are none."""
MANIFEST_FORMAT = "triton-edge-kit calibration 1"
_COCO_PLACES = (".", "annotations")
_WANTED = "give a folder of images or videos, a COCO set, a video, or the calibration.json of an earlier choice"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a source in a fixed order. ``kind`` is a word for the user; ``root`` is what paths are told from.

    ``missing`` are files that an annotation file names and that are not there.
    """

    kind: str
    root: Path
    images: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    missing: tuple[Path, ...] = ()
    manifest: Path | None = None


class _Image(msgspec.Struct):
    file_name: str


class _Document(msgspec.Struct):
    """What tells the two kinds of JSON files apart; of a COCO file nothing but the names is kept in memory."""

    format: str = ""
    images: list[_Image] = msgspec.field(default_factory=list)


def of(source: Path) -> Listing:
    """Return what ``source`` holds.

    Raises ``CalibrationError`` where it is not there, cannot be read, holds no pictures, or is of no known kind.
    """
    _require_text(source)
    with _readable(source):
        if source.is_dir():
            return _folder(source)
        source.stat()
        kind = source.suffix.lower()
        if kind == ".json":
            return _described(source)
        if kind in VIDEO_SUFFIXES:
            return Listing(kind="video", root=source.parent, videos=(source,))
    if kind in IMAGE_SUFFIXES:
        raise CalibrationError(f"{source} is one image; {_WANTED}")
    raise CalibrationError(f"{source} is a file of no kind that holds pictures; {_WANTED}")


def has_videos(folder: Path) -> bool:
    """Tell whether a video lies below a folder."""
    return any(Path(file).suffix.lower() in VIDEO_SUFFIXES for _, _, files in os.walk(folder) for file in files)


def _folder(folder: Path) -> Listing:
    """Return the COCO set where an annotation file lies in the folder, else all images and videos below it."""
    os.scandir(folder).close()  # globbing takes a folder that may not be read for an empty one
    described = sorted(p for place in _COCO_PLACES for p in _annotations(folder / place))
    if len(described) > 1:
        names = " and ".join(str(p.relative_to(folder)) for p in described[:2])
        raise CalibrationError(f"{folder} holds {names}; give the path of the one whose images are meant")
    if described:
        found = _document(described[0])
        if found.images:
            return _coco(described[0], found)
    images: list[Path] = []
    videos: list[Path] = []
    for path in _walk(folder):
        (images if path.suffix.lower() in IMAGE_SUFFIXES else videos).append(path)
    if not images and not videos:
        raise CalibrationError(
            f"{folder} holds no images ({_said(IMAGE_SUFFIXES)}) and no videos ({_said(VIDEO_SUFFIXES)})"
        )
    kind = "folder of images" if not videos else "folder of videos" if not images else "folder of images and videos"
    return Listing(kind=kind, root=folder, images=tuple(images), videos=tuple(videos))


def _annotations(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from folder.glob("annotations.json")
        yield from folder.glob("instances*.json")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield images and videos below a folder, sorted; hidden ones are not meant. Raises ``OSError``."""

    def refuse(error: OSError) -> None:
        raise error

    seen = set()
    for name, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        seen.add(os.path.realpath(name))
        linked = {f for f in folders if os.path.realpath(Path(name, f)) in seen}
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in linked)
        for file in sorted(files):
            path = Path(name, file)
            if not file.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and path.is_file():
                _require_text(path)
                yield path


def _require_text(path: Path) -> None:
    """Refuse a name that no list can hold. Raises ``CalibrationError``."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise CalibrationError(f"{shown}: its name is no text in UTF-8; rename it") from error


def _described(path: Path) -> Listing:
    found = _document(path)
    if found.format == MANIFEST_FORMAT:
        return Listing(kind="manifest", root=path.parent, manifest=path)
    if not found.images:
        raise CalibrationError(
            f'{path} is JSON without "images": no COCO annotations and no calibration.json; {_WANTED}'
        )
    return _coco(path, found)


def _document(path: Path) -> _Document:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Document)
    except msgspec.MsgspecError as error:
        raise CalibrationError(f"{path} is no COCO annotation file: {error}; {_WANTED}") from error


def _coco(path: Path, found: _Document) -> Listing:
    """Return the files that a COCO file names, from where the first of them that is anywhere lies.

    Layouts: https://cocodataset.org/#format-data names files only; ``images/`` beside the annotations and
    ``SPLIT/`` or ``images/SPLIT/`` beside ``annotations/instances_SPLIT.json`` are what tools write.
    """
    names = sorted({image.file_name for image in found.images})
    split = path.stem.removeprefix("instances_")
    tops = (path.parent, path.parent.parent) if path.parent.name == "annotations" else (path.parent,)
    places = [top / part for top in tops for part in (".", "images", split, f"images/{split}")]
    root = next((place for name in names[:100] for place in places if (place / name).is_file()), None)
    if root is None:
        tried = ", ".join(sorted({str(place) for place in places}))
        raise CalibrationError(f"{path} names {names[0]} and others, and none is there; looked in {tried}")
    files = [root / name for name in names]
    there = tuple(file for file in files if file.is_file())
    missing = tuple(file for file in files if not file.is_file())
    return Listing(kind="COCO set", root=root, images=there, missing=missing)


def _said(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or place
        raise CalibrationError(f"{where} cannot be read: {error.strerror}; {_WANTED}") from error
