"""A video file, by PyAV: at its own pace like a camera, or picture by picture as fast as they are taken."""

from __future__ import annotations

import threading
import urllib.parse
from dataclasses import replace
from pathlib import Path

from kit.errors import CameraNotFoundError
from kit.stream.sources._pacing import Pace
from kit.stream.sources._pyav import AvReader, Opening
from kit.stream.sources.interface import Option, Picture, Reader
from kit.stream.uri import CameraUri, Secret, own_uri, redacted

_UNPACED = "none"
_RATE_UNKNOWN = 25.0  # frames per second, as FFmpeg assumes


class File:
    """``file:video.mp4#pace=none``, or the path alone."""

    name = "file"
    schemes = ("file",)
    forms = ("file:video.mp4",)
    options = (
        Option(name="pace", pattern=f"fps|{_UNPACED}", examples=("fps", _UNPACED)),
        Option(name="loop", pattern="yes|no", examples=("yes", "no")),
        Option(name="threads", pattern="[0-9]{1,2}", examples=("0", "1", "4")),
    )

    def parse(self, text: str) -> CameraUri:
        """Take a path as it is where there is such a file; after ``file://`` it may be percent-encoded."""
        whole = text.split(":", 1)[1]
        if Path(whole).exists():
            return CameraUri(scheme="file", place=redacted(whole), address=Secret(whole))
        uri = own_uri(text, separators="#")
        path = uri.address.reveal()
        if path.startswith("//"):
            path = path.removeprefix("//").removeprefix("localhost")
            path = path if Path(path).exists() else urllib.parse.unquote(path)
        return replace(uri, place=redacted(path), address=Secret(path))

    def guess(self, text: str) -> str | None:
        """Claim what is a file, options after its name apart."""
        if Path(text).is_file() or Path(text.rpartition("#")[0]).is_file():
            return f"file:{text}"
        return None

    def live(self, uri: CameraUri) -> bool:
        """Return False: what ends, ends."""
        return False

    def waits(self, uri: CameraUri) -> bool:
        """Whether every picture is wanted."""
        return uri.options.get("pace") == _UNPACED

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """Open the file."""
        address = uri.address.reveal()
        if not Path(address).exists():
            raise CameraNotFoundError(f'there is no file "{uri.place}"; look at the path')
        threads = int(uri.options.get("threads", "0"))
        # The prefix keeps FFmpeg from taking a colon in the name for a protocol.
        opening = Opening(address=f"file:{address}", options={}, threads=threads, endless=False)
        pace = None if self.waits(uri) else Pace(halt)
        return FileReader(AvReader(uri, opening), pace=pace, loop=uri.options.get("loop") == "yes")


class FileReader:
    """Reads a file once or for ever; times go on rising when it begins anew."""

    def __init__(self, reader: AvReader, *, pace: Pace | None, loop: bool) -> None:
        self._reader = reader
        self._pace = pace
        self._loop = loop
        self._offset_s = 0.0
        self._last_s = 0.0
        self._period_s = 1 / (reader.rate or _RATE_UNKNOWN)
        self._first = True

    def read(self) -> Picture | None:
        """Return the next picture when it is due."""
        picture = self._reader.read()
        if picture is None and self._loop and not self._first:
            self._reader.rewind()
            self._offset_s = self._last_s + self._period_s
            picture = self._reader.read()
        if picture is None:
            return None
        self._first = False
        own_s = self._last_s - self._offset_s + self._period_s if picture.pts_s is None else picture.pts_s
        self._last_s = self._offset_s + own_s
        if self._pace is not None:
            self._pace.wait(self._last_s)
        return Picture(pts_s=self._last_s, image=picture.image)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


MEMBER = File()
