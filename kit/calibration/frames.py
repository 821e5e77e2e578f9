"""Chosen pictures as a model takes them: read one by one, frames of videos from stills that are kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from kit import disk, inputs
from kit.cache import Cache, Key, file_digest
from kit.calibration import survey, videos
from kit.errors import CalibrationError
from kit.types import Picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def read(pictures: Sequence[Picture], size: tuple[int, int], channels: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield each picture letterboxed to ``size`` (height, width): [H, W, channels] uint8.

    Frames are decoded once for all passes over them: a video is slow to search. Raises ``CalibrationError``.
    """
    import numpy as np
    from PIL import Image

    stills = _stills(tuple(p for p in pictures if p.frame is not None), size, channels)
    for picture in pictures:
        if picture.frame is None:
            yield _image(picture, size, channels)
        else:
            with Image.open(stills[picture]) as still:
                yield np.asarray(still, np.uint8).reshape(*size, channels)


def _image(picture: Picture, size: tuple[int, int], channels: int) -> npt.NDArray[np.uint8]:
    try:
        payload = picture.path.read_bytes()
        if hashlib.sha256(payload).hexdigest() != picture.digest:
            raise CalibrationError(f"{picture.path} has changed since it was chosen for calibration; choose again")
        with survey.decoded(payload) as image:
            return inputs.letterboxed(image.convert(_mode(channels)), size)
    except (OSError, SyntaxError, ValueError) as error:
        raise CalibrationError(f"{picture.path} cannot be read any more: {error}; choose again") from error


def _stills(pictures: tuple[Picture, ...], size: tuple[int, int], channels: int) -> dict[Picture, Path]:
    if not pictures:
        return {}
    cache = Cache()
    different = tuple(dict.fromkeys(pictures))
    key = Key(
        stage="calibration stills", inputs=tuple(p.digest for p in different), parameters=(size, channels),
        tools=("pillow", "av"),
    )  # fmt: skip
    found = cache.find(key, tuple[Path, ...])
    if found is None:
        with disk.translated(cache.root, disk.CACHE_REMEDY):
            found = cache.make(key, tuple[Path, ...], lambda folder: _write(different, size, channels, folder))
    return dict(zip(different, found, strict=True))


def _write(pictures: tuple[Picture, ...], size: tuple[int, int], channels: int, folder: Path) -> tuple[Path, ...]:
    """Write frames, letterboxed, as PNG; each video is gone through once."""
    from PIL import Image

    made: dict[tuple[Path, int | None], Path] = {}
    for path, group in groupby(sorted(pictures, key=lambda p: str(p.path)), lambda p: p.path):
        some = tuple(group)
        try:
            _require_unchanged(path, some)
            wanted = [p.frame for p in some if p.frame is not None]
            for number, frame in videos.frames(path, videos.timeline(path), wanted):
                pixels = inputs.letterboxed(frame.image().convert(_mode(channels)), size)
                made[path, number] = folder / f"{len(made):05d}.png"
                Image.fromarray(pixels.squeeze()).save(made[path, number], compress_level=1)
        except (videos.VideoError, OSError) as error:
            raise CalibrationError(f"{path} cannot be read any more: {error}; choose again") from error
    lost = next((p for p in pictures if (p.path, p.frame) not in made), None)
    if lost is not None:
        raise CalibrationError(f"{lost.path} has no frame {lost.frame} any more; choose again")
    return tuple(made[p.path, p.frame] for p in pictures)


def _require_unchanged(path: Path, pictures: tuple[Picture, ...]) -> None:
    file = file_digest(path)
    if any(p.frame is not None and survey.frame_digest(file, p.frame) != p.digest for p in pictures):
        raise CalibrationError(f"{path} has changed since its frames were chosen for calibration; choose again")


def _mode(channels: int) -> str:
    return "RGB" if channels == 3 else "L"
