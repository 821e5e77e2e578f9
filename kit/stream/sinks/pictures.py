"""An annotated picture for each result, as a JPEG in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kit.errors import NotWritableError, UsageError
from kit.stream.sinks.interface import Emission, Note, OpenSink, Takes, Target
from kit.stream.snapshot import Snapshot


class Pictures:
    """Writes ``DIR/CAMERA-000012.jpg``: the number is the frame's."""

    name = "pictures"
    flag = "--save"
    key = "save"
    takes = Takes.FOLDER
    help = "Write each result as an annotated picture into the folder DIR."
    whole = True

    def check(self, target: Target) -> None:
        """Take a folder, or the name of a new one."""
        path = Path(str(target))
        if path.exists() and not path.is_dir():
            raise UsageError(f"--save {path}: this is a file; give a folder")

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Make the folder."""
        path = Path(str(target))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritableError(f"{path} cannot be made: {error.strerror}; choose another folder") from error
        return Saver(path)


class Saver:
    """Saves."""

    greeting = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, emission: Emission) -> None:
        """Draw and write a result's frame."""
        from kit.stream import drawing

        frame, result = emission.result.frame, emission.result
        picture = drawing.annotate(frame.image, result.output, emission.labels)
        file = self._folder / f"{frame.camera}-{frame.number:06d}.jpg"
        file.write_bytes(drawing.jpeg(picture, quality=90))

    def note(self, note: Note) -> None:
        """Tell nothing."""

    def close(self, last: Snapshot) -> None:
        """Nothing is open."""


MEMBER = Pictures()
