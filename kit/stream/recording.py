"""An annotated video file for one camera: H.264 in MP4, at a constant rate that is taken from the frames' times.

A file that was not closed (the power went) can be played up to its last second: it is written in fragments
(https://ffmpeg.org/ffmpeg-formats.html#Fragmentation), and made an ordinary file when it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from kit.errors import MissingExtraError, NotWritableError
from kit.stream.types import Frame

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ENCODERS = ("libx264", "libopenh264", "mpeg4")
_OPTIONS = {"preset": "veryfast", "crf": "23", "bf": "0"}  # B-frames would shift all times by two frames
_WRITING = {"movflags": "hybrid_fragmented+frag_keyframe", "flush_packets": "1"}
_KEYFRAME_S = 1
"""A fragment begins with a keyframe: so much is lost where the file is not closed."""
_NS = 1_000_000_000
_FEWEST_FPS, _MOST_FPS = 1, 120
_FIRST = 6
"""So many frames are looked at before the rate is known."""
_LONGEST_GAP_S = 2.0
"""A longer silence is cut out: a camera was away."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture [H, W, 3] (RGB) to record, and when it was taken; ``number`` counts a camera's captured frames."""

    number: int
    time_s: float
    picture: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, frame: Frame, picture: npt.NDArray[np.uint8]) -> Shot:
        """Return a frame's, by its own time, else by the clock."""
        time_s = frame.captured_ns / _NS if frame.pts_s is None else frame.pts_s
        return cls(number=frame.number, time_s=time_s, picture=picture)


def rate_of(shots: list[Shot]) -> Fraction:
    """Return the camera's own frames per second; frames between the shots may be missing.

    The median of time by frames is the camera's period, however many of them had no result.
    """
    periods = [
        (later.time_s - earlier.time_s) / (later.number - earlier.number)
        for earlier, later in pairwise(shots)
        if later.number > earlier.number and later.time_s > earlier.time_s
    ]
    fps = 1 / median(periods) if periods else 25.0
    # Cameras have whole rates, or those of television (30000 / 1001).
    whole = Fraction(min(max(round(fps), _FEWEST_FPS), _MOST_FPS))
    television = whole * 1000 / 1001
    return min((whole, television), key=lambda rate: abs(float(rate) - fps)) if fps >= 2 else whole


class Recording:
    """Writes ``path``, and ``path`` with ``-2``, ``-3`` ... where the pictures' size changes."""

    def __init__(self, path: Path) -> None:
        self.paths: list[Path] = []
        self._path = path
        self._first: list[Shot] = []
        self._film: Film | None = None

    def add(self, shot: Shot) -> None:
        """Record a picture."""
        if self._film is None:
            if self._first and self._first[0].picture.shape != shot.picture.shape:
                self._begin()
            self._first.append(shot)
            if len(self._first) == _FIRST:
                self._begin()
            return
        if self._film.shape != shot.picture.shape:
            self._film.close()
            self._film = None
            self._first = [shot]
            return
        self._film.add(shot)

    def close(self) -> None:
        """Finish the file."""
        if self._film is None and self._first:
            self._begin()
        if self._film is not None:
            self._film.close()
            self._film = None

    def _begin(self) -> None:
        first, self._first = self._first, []
        number = len(self.paths) + 1
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        self._film = Film(path, rate=rate_of(first), shape=first[0].picture.shape)
        self.paths.append(path)
        for shot in first:
            self._film.add(shot)


class Film:
    """One open file. Raises ``NotWritableError`` and ``MissingExtraError`` where it cannot be made."""

    def __init__(self, path: Path, *, rate: Fraction, shape: tuple[int, ...]) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("av", "camera", "--record") from error
        self.shape = shape
        self._rate = rate
        # H.264 halves the colours' resolution.
        self._height, self._width = (max(2, side // 2 * 2) for side in shape[:2])
        encoder = next(name for name in _ENCODERS if name in av.codecs_available)
        try:
            self._file: Any = av.open(str(path), "w", format="mp4", options=_WRITING)
        except (OSError, av.error.FFmpegError) as error:
            raise NotWritableError(f"{path} cannot be written: {error.strerror}; choose another file") from error
        self._stream: Any = self._file.add_stream(encoder, rate=rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = self._width, self._height, "yuv420p"
        self._stream.gop_size = max(1, round(rate * _KEYFRAME_S))
        self._stream.options = _OPTIONS if encoder == "libx264" else {}
        self._next = 0
        self._start_s: float | None = None
        self._last: Any = None

    def add(self, shot: Shot) -> None:
        """Write a picture at its time; the one before fills the places of frames without a result."""
        import av

        if self._start_s is None:
            self._start_s = shot.time_s
        place = round((shot.time_s - self._start_s) * self._rate)
        if not 0 <= place - self._next <= _LONGEST_GAP_S * self._rate:
            if -_LONGEST_GAP_S * self._rate < place - self._next < 0:
                return  # an answer that was overtaken by that of a newer frame
            place = self._next
            self._start_s = shot.time_s - float(place / self._rate)
        while self._last is not None and self._next < place:
            self._write(self._last)
        picture = shot.picture[: self._height, : self._width]
        self._last = av.VideoFrame.from_ndarray(_contiguous(picture), format="rgb24").reformat(format="yuv420p")
        self._write(self._last)

    def close(self) -> None:
        """Finish."""
        for packet in self._stream.encode():
            self._file.mux(packet)
        self._file.close()

    def _write(self, frame: Any) -> None:
        frame.pts, frame.time_base = self._next, 1 / self._rate
        for packet in self._stream.encode(frame):
            self._file.mux(packet)
        self._next += 1


def _contiguous(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.ascontiguousarray(picture)
