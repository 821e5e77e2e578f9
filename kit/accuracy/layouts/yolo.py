"""YOLO's text files: ``images/`` and beside it ``labels/`` with a file of the same name for each picture.

A line is an object: its class, then centre and size in fractions of the picture; or, for outlines, the corners of a
polygon; or, for poses, keypoints after the box. A picture without a file has no objects.
https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kit import inputs
from kit.accuracy.layouts import _names, _objects, _pictures
from kit.accuracy.layouts._objects import Box
from kit.accuracy.layouts.interface import Marked
from kit.accuracy.types import Classes, Outline
from kit.errors import InputsError, ValidationSetError

_BOX = 5
"""Numbers of a line that is a box: the class too."""

_POLYGON = 7
"""Fewest numbers of a line that is an outline."""

_LARGEST_FRACTION = 1.5
"""What is larger is no fraction of a picture, but pixels."""


class Yolo:
    """As Ultralytics reads it: ``labels`` takes the place of the last ``images`` in a picture's path."""

    name = "yolo"
    rank = 20
    tasks = frozenset({"detect", "instances", "pose"})

    def reads(self, place: Path) -> bool:
        """Tell whether any picture below has a file of labels."""
        if not place.is_dir():
            return False
        try:
            files = inputs.images_in(place)
        except InputsError:
            return False
        return any(label.is_file() for path in files if (label := _label(path)) is not None)

    def expects(self) -> str:
        """The folder above both, or that of the pictures."""
        return "a folder with images/ and labels/ as YOLO has them"

    def read(self, place: Path, classes: Classes) -> Marked:
        """Return all pictures that lie in an ``images`` folder. Raises ``ValidationSetError``."""
        labelled = {path: label for path in inputs.images_in(place) if (label := _label(path)) is not None}
        names = _own_names(place, classes)
        files = tuple(labelled)
        sizes = _pictures.sizes(files)
        marks = _objects.Marks(place=place)
        truth, there = [], []
        for path, size in zip(files, sizes, strict=True):
            label = labelled[path]
            if label.is_file():
                there.append(label)
            boxes = _read(label, size, classes) if label.is_file() else []
            truth.append(marks.picture(path.name, size, boxes))
        notes = marks.notes()
        if len(there) < len(files):
            notes = (
                *notes,
                f"{len(files) - len(there)} of {len(files)} pictures have no file of labels: nothing in them",
            )
        return Marked(files=files, sizes=sizes, truth=tuple(truth), names=names, sources=tuple(there), notes=notes)


def _label(path: Path) -> Path | None:
    """Return where the labels of a picture are; None where it does not lie below an ``images`` folder."""
    parts = path.absolute().parts
    if "images" not in parts[:-1]:
        return None
    last = len(parts) - 2 - parts[:-1][::-1].index("images")
    return Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")


def _own_names(place: Path, classes: Classes) -> tuple[str, ...]:
    """Return the class names in ``data.yaml``, which must be the model's. Raises ``ValidationSetError``."""
    import yaml

    for folder in (place, *place.absolute().parents[:3]):
        path = next((p for p in sorted(folder.glob("*.y*ml")) if p.stem in ("data", "dataset")), None)
        if path is None:
            continue
        try:
            content = yaml.safe_load(path.read_bytes())
        except (OSError, yaml.YAMLError) as error:
            raise ValidationSetError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        given = content.get("names") if isinstance(content, dict) else None
        names = tuple(str(n) for n in (given.values() if isinstance(given, dict) else given or ()))
        if names and classes.names:
            _require_same(path, names, classes)
        return names
    return ()


def _require_same(path: Path, names: Sequence[str], classes: Classes) -> None:
    for index, name in enumerate(names):
        known = classes.names[index] if index < len(classes.names) else None
        if known is None or _names.plain(known) != _names.plain(name):
            there = "no such class" if known is None else f'"{known}"'
            raise ValidationSetError(
                f'{path}: class {index} is "{name}", the model has {there}; give the names that fit with --labels'
            )


def _read(path: Path, size: tuple[int, int], classes: Classes) -> list[Box]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationSetError(f"{path} cannot be read: {error}") from error
    return [
        _box(line.split(), f"{path}:{number}", size, classes) for number, line in enumerate(lines, 1) if line.strip()
    ]


def _box(words: Sequence[str], where: str, size: tuple[int, int], classes: Classes) -> Box:
    """Return the object of a line. Raises ``ValidationSetError`` with the line's number."""
    try:
        index, numbers = int(float(words[0])), [float(word) for word in words[1:]]
    except ValueError as error:
        raise ValidationSetError(f'{where}: "{" ".join(words)[:60]}" is not a class and numbers') from error
    if numbers and max(numbers[: _BOX - 1]) > _LARGEST_FRACTION:
        raise ValidationSetError(f"{where}: {max(numbers):g} is no fraction of a picture; YOLO's numbers are 0 to 1")
    _names.require_index(index, classes, where)
    points = classes.keypoints[0] if classes.task == "pose" and classes.keypoints else 0
    if points:
        return _pose(numbers, index, points, where, size)
    if len(words) == _BOX:
        return Box(corners=_corners(numbers, size), index=index)
    if len(words) >= _POLYGON and len(words) % 2:
        return _outlined(numbers, index, size)
    raise ValidationSetError(f"{where}: {len(words)} numbers; a box has 5, an outline a class and pairs of numbers")


def _corners(numbers: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    x, y, width, height = numbers
    rows, columns = size
    return (
        (x - width / 2) * columns, (y - height / 2) * rows, (x + width / 2) * columns, (y + height / 2) * rows,
    )  # fmt: skip


def _outlined(numbers: Sequence[float], index: int, size: tuple[int, int]) -> Box:
    rows, columns = size
    xs, ys = [x * columns for x in numbers[::2]], [y * rows for y in numbers[1::2]]
    polygon = tuple(value for pair in zip(xs, ys, strict=True) for value in pair)
    return Box(corners=(min(xs), min(ys), max(xs), max(ys)), index=index, outline=Outline(polygons=(polygon,)))


def _pose(numbers: Sequence[float], index: int, points: int, where: str, size: tuple[int, int]) -> Box:
    rest, (rows, columns) = numbers[_BOX - 1 :], size
    each = len(rest) // points
    if each not in (2, 3) or len(rest) != each * points:
        raise ValidationSetError(f"{where}: {len(rest)} numbers after the box; {points} keypoints have 2 or 3 each")
    keypoints: list[float] = []
    for at in range(0, len(rest), each):
        x, y, *seen = rest[at : at + each]
        keypoints += [x * columns, y * rows, seen[0] if seen else float(x > 0 or y > 0)]
    return Box(corners=_corners(numbers[: _BOX - 1], size), index=index, keypoints=keypoints)


MEMBER = Yolo()
