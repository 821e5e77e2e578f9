"""An annotated video file: one for each camera, and a new one where the resolution changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kit.errors import KitError, MissingExtraError, NotWritableError, UsageError
from kit.stream.recording import Recording, Shot
from kit.stream.sinks.interface import Emission, Note, OpenSink, SinkGoneError, Takes, Target
from kit.stream.snapshot import Snapshot

_ENDINGS = (".mp4", ".m4v", ".mov")


class Video:
    """Writes ``FILE``, with the camera's name in it where there are several: ``out.mp4``, ``out-gate.mp4``."""

    name = "video"
    flag = "--record"
    key = "record"
    takes = Takes.FILE
    help = "Write an annotated video (.mp4): FILE for one camera, FILE-NAME for each of several."
    whole = True

    def check(self, target: Target) -> None:
        """Take an .mp4 in a folder that exists."""
        path = Path(str(target))
        if path.suffix.lower() not in _ENDINGS:
            raise UsageError(f"--record writes MP4; {path} does not end so: try --record {path.with_suffix('.mp4')}")
        if not path.parent.is_dir():
            raise UsageError(f"--record {path}: there is no folder {path.parent}; make it first")
        if path.is_dir():
            raise UsageError(f"--record {path}: this is a folder; name a file in it")

    def open(self, target: Target, watch: Callable[[], Snapshot]) -> OpenSink:
        """Try whether the folder can be written."""
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("av", "camera", self.flag) from error
        path = Path(str(target))
        try:
            path.open("ab").close()
            if path.stat().st_size == 0:
                path.unlink()
        except OSError as error:
            raise NotWritableError(f"{path} cannot be written: {error.strerror}; choose another file") from error
        return Recorder(path, several=len(watch().cameras) > 1)


class Recorder:
    """Records."""

    greeting = ""

    def __init__(self, path: Path, *, several: bool) -> None:
        self._path = path
        self._several = several
        self._recordings: dict[str, Recording] = {}

    def take(self, emission: Emission) -> None:
        """Draw and record a result's frame."""
        import numpy as np

        from kit.stream import drawing

        frame = emission.result.frame
        if frame.camera not in self._recordings:
            path = self._path.with_stem(f"{self._path.stem}-{frame.camera}") if self._several else self._path
            self._recordings[frame.camera] = Recording(path)
        shot = Shot.of(frame, np.asarray(drawing.draw(emission)))
        try:
            self._recordings[frame.camera].add(shot)
        except MissingExtraError as error:
            raise SinkGoneError(str(error)) from error
        except Exception:
            # What was begun is closed as far as it goes, and the next frame begins a new file beside it.
            self._end(frame.camera)
            raise

    def note(self, note: Note) -> None:
        """Tell nothing."""

    def close(self, last: Snapshot) -> None:
        """Finish the files. Raises the first error, when all were tried."""
        errors: list[Exception] = []
        for recording in self._recordings.values():
            try:
                recording.close()
            except (OSError, KitError) as error:  # noqa: PERF203 (the other files are to be finished)
                errors.append(error)
        if errors:
            raise errors[0]

    def _end(self, camera: str) -> None:
        with suppress(OSError, KitError):
            self._recordings[camera].close()


MEMBER = Video()
