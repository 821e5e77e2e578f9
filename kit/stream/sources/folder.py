"""A folder of images, in the order of their names, numbers counted as numbers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from kit.errors import CameraNotFoundError, CameraRefusedError
from kit.stream.sources._pacing import Pace
from kit.stream.sources.interface import DecodeError, Image, Option, Picture, Reader
from kit.stream.uri import CameraUri, own_uri

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_RATE = 25.0
"""Frames per second of the times that pictures get where no rate is given; nothing waits for them."""


class Folder:
    """``dir:images#fps=10&loop=yes``; without a rate, each image is given as soon as the last was taken."""

    name = "folder"
    schemes = ("dir",)
    forms = ("dir:images/",)
    options = (
        Option(name="fps", pattern=r"(?!0*\.?0*$)\d+(\.\d+)?", examples=("1", "10", "25")),
        Option(name="loop", pattern="yes|no", examples=("yes", "no")),
    )

    def parse(self, text: str) -> CameraUri:
        """Take a path apart from its options."""
        return own_uri(text, separators="" if Path(text.split(":", 1)[1]).is_dir() else "#")

    def guess(self, text: str) -> str | None:
        """Claim what is a folder, options after its name apart."""
        if Path(text).is_dir() or (text.rpartition("#")[0] and Path(text.rpartition("#")[0]).is_dir()):
            return f"dir:{text}"
        return None

    def live(self, uri: CameraUri) -> bool:
        """Return False: what ends, ends."""
        return False

    def waits(self, uri: CameraUri) -> bool:
        """Whether every image is wanted: where no rate is given."""
        return "fps" not in uri.options

    def open(self, uri: CameraUri, *, timeout_s: float, halt: threading.Event) -> Reader:
        """List the images."""
        folder = Path(uri.address.reveal())
        try:
            images = sorted((p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES), key=natural)
        except (FileNotFoundError, NotADirectoryError):
            raise CameraNotFoundError(f'there is no folder "{uri.place}"; look at the path') from None
        except PermissionError as error:
            raise CameraRefusedError(f'the folder "{uri.place}" may not be read; give this user permission') from error
        if not images:
            kinds = ", ".join(sorted(s[1:] for s in _SUFFIXES))
            raise CameraNotFoundError(f'the folder "{uri.place}" holds no image; put some in: {kinds}')
        rate = float(uri.options.get("fps", _RATE))
        pace = None if self.waits(uri) else Pace(halt)
        return FolderReader(images, rate=rate, pace=pace, loop=uri.options.get("loop") == "yes")


class FolderReader:
    """Reads the images one by one; one that cannot be read is a lost picture and no more."""

    def __init__(self, images: list[Path], *, rate: float, pace: Pace | None, loop: bool) -> None:
        self._images = self._order(images, loop=loop)
        self._rate = rate
        self._pace = pace

    def read(self) -> Picture | None:
        """Return the next image when it is due."""
        number, path = next(self._images, (0, None))
        if path is None:
            return None
        pts_s = number / self._rate
        if self._pace is not None:
            self._pace.wait(pts_s)
        image = _rgb(path)
        return Picture(pts_s=pts_s, image=lambda: image)

    def close(self) -> None:
        """Nothing is open between two images."""

    @staticmethod
    def _order(images: list[Path], *, loop: bool) -> Iterator[tuple[int, Path]]:
        for number in count() if loop else range(len(images)):
            yield number, images[number % len(images)]


def natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Return a key by which ``frame-9.png`` comes before ``frame-10.png``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.stem)
    return (*((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts), (-1, 0, path.suffix))


def _rgb(path: Path) -> Image:
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with Pillow.open(path) as opened:
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise DecodeError(f"{path.name}: {error}") from error


MEMBER = Folder()
