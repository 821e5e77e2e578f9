"""Single frames of recorded videos, by PyAV: numbered as they are shown, decoded only where one is wanted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import MissingExtraError

if TYPE_CHECKING:
    import PIL.Image


class VideoError(Exception):
    """A video, or a frame of it, cannot be read; the message says why and names no file."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When frames are shown, as the file's packets say, without decoding any.

    ``times`` in units of ``tick_s`` seconds, rising, one for each frame; ``keys`` are the numbers of the frames that
    decoding can begin at, rising.
    """

    times: tuple[int, ...]
    keys: tuple[int, ...]
    tick_s: float


def timeline(path: Path) -> Timeline:
    """Return the numbers and times of a video's frames. Raises ``VideoError`` and ``MissingExtraError``."""
    with _opened(path) as (container, stream):
        seen = {p.pts: p.is_keyframe for p in container.demux(stream) if p.pts is not None and not p.is_discard}
        tick_s = float(stream.time_base)
    times = tuple(sorted(seen))
    if not times:
        raise VideoError("it holds no frames with times")
    return Timeline(times=times, keys=tuple(n for n, time in enumerate(times) if seen[time]), tick_s=tick_s)


def frames(path: Path, times: Timeline, wanted: Sequence[int]) -> Iterator[tuple[int, Frame]]:
    """Yield the frames of these numbers, rising; those that cannot be decoded are left out.

    Decoding jumps to the last key frame before a frame that is wanted, where that is nearer. Raises ``VideoError``.
    """
    with _opened(path) as (container, stream):
        decoded = _Decoded(container, stream, times)
        for number in sorted(set(wanted)):
            frame = decoded.find(number)
            if frame is not None:
                yield number, Frame(frame)


class Frame:
    """A decoded picture, converted when it is asked for."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def image(self) -> PIL.Image.Image:
        """Return it in its own size, RGB."""
        picture: PIL.Image.Image = self._frame.to_image()
        return picture

    def small(self, side: int) -> PIL.Image.Image:
        """Return it squeezed to a square of ``side`` pixels, RGB."""
        picture: PIL.Image.Image = self._frame.reformat(
            width=side, height=side, format="rgb24", interpolation="AREA"
        ).to_image()
        return picture


class _Decoded:
    """The frames of an open video, asked for in rising order."""

    def __init__(self, container: Any, stream: Any, times: Timeline) -> None:
        self._container, self._stream, self._timeline = container, stream, times
        self._numbers = {time: number for number, time in enumerate(times.times)}
        self._frames = iter(container.decode(stream))
        self._last = -1  # number of the frame that was decoded last
        self._held: Any = None

    def find(self, number: int) -> Any:
        """Return a frame; None where decoding passes it by."""
        import av

        try:
            self._approach(number)
            while self._last < number:
                self._held = next(self._frames, None)
                if self._held is None:
                    return None
                self._last = self._numbers.get(self._held.pts, self._last)
        except av.FFmpegError:
            self._frames, self._last = iter(self._container.decode(self._stream)), number
            return None
        return self._held if self._last == number else None

    def _approach(self, number: int) -> None:
        keys = self._timeline.keys
        position = bisect_right(keys, number) - 1
        key = keys[position] if position >= 0 else 0
        if key > self._last + 1:
            self._container.seek(self._timeline.times[key], stream=self._stream, backward=True)
            self._frames, self._last = iter(self._container.decode(self._stream)), key - 1


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "camera", f"reading {path}", "give a folder of images") from None
    try:
        # The prefix keeps FFmpeg from taking a colon in the name for a protocol.
        with av.open(f"file:{path}") as container:
            if not container.streams.video:
                raise VideoError("it has no pictures in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(str(error.strerror)) from None
