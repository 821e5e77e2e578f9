"""What all sources that PyAV reads have in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import CameraError, CameraLostError, CameraNotFoundError, MissingExtraError
from kit.stream.sources._ffmpeg_errors import translated
from kit.stream.sources.interface import DecodeError, Image, Picture
from kit.stream.uri import CameraUri


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How FFmpeg opens an address."""

    address: str
    options: Mapping[str, str]
    """FFmpeg's own: https://ffmpeg.org/ffmpeg-protocols.html, https://ffmpeg.org/ffmpeg-formats.html."""
    format: str | None = None
    timeout_s: float | None = None
    threads: int = 1
    """Of the decoder. Each of more than one delays the picture by one frame."""
    endless: bool = True
    """Whether the end of the stream is a failure; where FFmpeg knows a duration it never is."""


class AvReader:
    """Decodes the first video stream of what FFmpeg opened."""

    def __init__(self, uri: CameraUri, opening: Opening) -> None:
        self._av = library()
        self._uri = uri
        self._opening = opening
        try:
            self._container = self._open()
            self._endless = opening.endless and not self._container.duration
            self._stream = self._video()
        # Foreign messages and their chain name the whole address, with its credentials.
        except self._av.FFmpegError as error:
            raise self._translated(error, opened=False) from None
        self._pictures = self._decoded()
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._converting = threading.Lock()

    @property
    def rate(self) -> float | None:
        """Frames per second, where the stream says so."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    def read(self) -> Picture | None:
        """Return the next picture; None at an end that is none of failure."""
        while True:
            try:
                frame = next(self._pictures, None)
            except self._av.FFmpegError as error:
                self._pictures = self._decoded()  # a generator that has raised is spent
                if isinstance(error, self._av.error.EOFError):
                    frame = None
                elif isinstance(error, self._av.error.InvalidDataError):
                    raise DecodeError(error.strerror) from None
                else:
                    raise self._translated(error, opened=True) from None
            if frame is None and self._endless:
                raise CameraLostError(f"{self._uri} ended the stream; it is tried again")
            return None if frame is None else self._picture(frame)

    def rewind(self) -> None:
        """Begin again at the first picture. Raises ``CameraError`` where that cannot be."""
        try:
            self._container.seek(0)
        except self._av.FFmpegError as error:
            raise self._translated(error, opened=True) from None
        self._pictures = self._decoded()

    def close(self) -> None:
        """Close the connection or file."""
        self._container.close()

    def _open(self) -> Any:
        opening = self._opening
        return self._av.open(
            opening.address, format=opening.format, options=dict(opening.options), timeout=opening.timeout_s
        )

    def _video(self) -> Any:
        if not self._container.streams.video:
            self._container.close()
            raise CameraNotFoundError(f"{self._uri} has no video in it; give one that has")
        stream = self._container.streams.video[0]
        context = stream.codec_context
        context.thread_type = "SLICE" if self._opening.threads == 1 else "AUTO"
        context.thread_count = self._opening.threads
        return stream

    def _decoded(self) -> Iterator[Any]:
        for packet in self._container.demux(self._stream):
            yield from packet.decode()

    def _picture(self, frame: Any) -> Picture:
        if frame.is_corrupt:
            raise DecodeError("the picture is incomplete")
        pts_s = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
        return Picture(pts_s=pts_s, image=lambda: self._rgb(frame), captured_ns=time.monotonic_ns(), wall_s=time.time())

    def _rgb(self, frame: Any) -> Image:
        try:
            with self._converting:  # the reformatter keeps its tables from picture to picture, for one thread
                image: Image = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except (self._av.FFmpegError, ValueError) as error:
            raise DecodeError(self._uri.redact(str(error))) from None
        return image

    def _translated(self, error: Any, *, opened: bool) -> CameraError:
        return translated(error, self._uri, opened=opened, timeout_s=self._opening.timeout_s)


def library() -> Any:
    """Import PyAV. Raises ``MissingExtraError``."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "camera", "reading video") from None
    return av
