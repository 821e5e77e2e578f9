"""Looks at every picture of a source: a few at a time, on all cores, from the cache where that was done before."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit import disk
from kit.cache import Cache, Key, file_digest
from kit.calibration import videos
from kit.calibration.listing import Listing
from kit.errors import CalibrationError
from kit.types import Picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

    from kit.calibration.features import Looks

Tell: TypeAlias = "Callable[[int, int], None]"
"""Told now and then how many pictures were looked at, of how many."""

MOST_CANDIDATES = 20_000
"""Of more pictures than these, so many are looked at, evenly spread: 13 minutes of video frame by frame."""
_TOLD_EVERY_S = 0.25
_AT_A_TIME = 64
_FRAMES_AT_A_TIME = 256
_LARGEST_PIXELS = 64_000_000
"""Larger ones are refused before they are decoded: 200 MB each, and a file of some kB may claim more."""
_OPENING = threading.Lock()
"""Filters of warnings are the process's."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A picture that may be chosen; ``moment`` is when its frame is shown, 0 to 1 of its video (0 of an image)."""

    picture: Picture
    moment: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A file, or a frame of one, that could not be read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a source has to choose from.

    ``found`` counts pictures before any was passed over; ``copies`` those that are equal to others, byte for byte.
    """

    pictures: tuple[Candidate, ...]
    unread: tuple[Unread, ...]
    found: int
    copies: int


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """One entry of the cache: looks in a file, in the order of ``seen``: positions among the pictures asked."""

    path: Path
    seen: tuple[int, ...]
    unread: tuple[Unread, ...]


def candidates(listing: Listing) -> Candidates:
    """Return the pictures of a source with their digests: files are read, videos gone through, nothing is decoded."""
    unread = [Unread(path=path, reason="it is not there") for path in listing.missing]
    timelines: dict[Path, videos.Timeline] = {}
    for path in listing.videos:
        times = _timeline(path)
        if isinstance(times, Unread):
            unread.append(times)
        else:
            timelines[path] = times
    whole: list[tuple[Path, int | None]] = [(path, None) for path in listing.images]
    for path, times in timelines.items():
        whole += [(path, number) for number in range(len(times.times))]
    wanted = whole if len(whole) <= MOST_CANDIDATES else _spread(whole)
    digests, failed = _digests(tuple(dict.fromkeys(path for path, _ in wanted)))
    made = _named(wanted, digests, timelines)
    fresh = {c.picture.digest: c for c in reversed(made)}
    pictures = tuple(c for c in made if fresh[c.picture.digest] is c)
    return Candidates(
        pictures=pictures, unread=(*unread, *failed), found=len(whole) + len(unread), copies=len(made) - len(pictures)
    )


def look(
    pictures: Sequence[Picture], cache: Cache, tell: Tell
) -> tuple[Looks, npt.NDArray[np.intp], tuple[Unread, ...]]:
    """Return what is seen of those that can be read, their positions in ``pictures``, and the others with reasons.

    What was looked at stays in the cache when a run is interrupted.
    """
    import numpy as np

    from kit.calibration import features

    looks: list[features.Looks] = []
    positions = [np.zeros(0, np.intp)]
    unread: list[Unread] = []
    for start, looked in _all_looked(pictures, cache, tell):
        if looked.seen:
            with np.load(looked.path) as arrays:
                looks.append(features.Looks(**arrays))
        positions.append(np.array(looked.seen, np.intp) + start)
        unread += looked.unread
    return features.together(looks), np.concatenate(positions), tuple(unread)


def decoded(payload: bytes) -> PIL.Image.Image:
    """Return an opened image, not yet decoded. Raises ``ValueError`` with what is wrong."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _OPENING, warnings.catch_warnings():  # of a size that is judged below
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(payload))
    except Image.DecompressionBombError as error:
        raise ValueError(_too_large(str(error).partition("(")[2].partition(" ")[0])) from error
    except UnidentifiedImageError as error:
        raise ValueError("it is no image" if payload else "it is empty") from error
    if image.width * image.height > _LARGEST_PIXELS:
        raise ValueError(_too_large(f"{image.width} x {image.height}"))
    return image


def _timeline(path: Path) -> videos.Timeline | Unread:
    try:
        return videos.timeline(path)
    except (videos.VideoError, OSError) as error:
        return Unread(path=path, reason=_reason(error))


def grain(picture: Picture) -> float:
    """Return how alike neighbouring pixels of an image are in its own size: near 1 for pictures, near 0 for noise.

    1 for frames of videos, which no noise is recorded as.
    """
    import numpy as np

    if picture.frame is not None:
        return 1.0
    with decoded(picture.path.read_bytes()) as image:
        light = np.asarray(image.convert("L"), np.float32)[:512, :512]
    left, right = light[:, :-1] - light.mean(), light[:, 1:] - light.mean()
    return float((left * right).mean() / max(float(light.var()), 1e-9))


def _too_large(size: str) -> str:
    return f"it has {size} pixels, more than {_LARGEST_PIXELS // 10**6} million"


def _spread(whole: list[tuple[Path, int | None]]) -> list[tuple[Path, int | None]]:
    return [whole[index * len(whole) // MOST_CANDIDATES] for index in range(MOST_CANDIDATES)]


def _digests(paths: tuple[Path, ...]) -> tuple[dict[Path, str], tuple[Unread, ...]]:
    found: dict[Path, str] = {}
    unread: list[Unread] = []
    with ThreadPoolExecutor(_workers()) as pool:
        for path, made in zip(paths, pool.map(_digest, paths), strict=True):
            if isinstance(made, Unread):
                unread.append(made)
            else:
                found[path] = made
    return found, tuple(unread)


def _digest(path: Path) -> str | Unread:
    try:
        return file_digest(path)
    except OSError as error:
        return Unread(path=path, reason=_reason(error))


def _named(
    wanted: list[tuple[Path, int | None]], digests: dict[Path, str], timelines: dict[Path, videos.Timeline]
) -> list[Candidate]:
    made = []
    for path, frame in wanted:
        if path not in digests:
            continue
        if frame is None:
            made.append(Candidate(picture=Picture(path=path, digest=digests[path])))
            continue
        times = timelines[path].times
        moment = (times[frame] - times[0]) / max(1, times[-1] - times[0])
        picture = Picture(path=path, digest=frame_digest(digests[path], frame), frame=frame)
        made.append(Candidate(picture=picture, moment=moment))
    return made


def frame_digest(file: str, frame: int) -> str:
    """Return the digest of a video's frame, from the file's: known before it is decoded."""
    return hashlib.sha256(f"{file} frame {frame}".encode()).hexdigest()


class _Work:
    """What threads share: how much is done, and whether to go on."""

    def __init__(self) -> None:
        self.halt = threading.Event()
        self.done = 0
        self._counting = threading.Lock()

    def count(self, pictures: int) -> None:
        """Add what was done. Raises ``CancelledError`` where it is no longer wanted."""
        if self.halt.is_set():
            raise CancelledError
        with self._counting:
            self.done += pictures


def _all_looked(pictures: Sequence[Picture], cache: Cache, tell: Tell) -> Iterator[tuple[int, _Looked]]:
    """Yield pieces of work that are done, each with the position of its first picture."""
    chunks, work = list(_chunks(pictures)), _Work()
    with disk.translated(cache.root, disk.CACHE_REMEDY):
        pool = ThreadPoolExecutor(_workers())
        try:
            made = [pool.submit(_cached, chunk, cache, work) for chunk in chunks]
            _wait(made, lambda: tell(work.done, len(pictures)))
            start = 0
            for chunk, looked in zip(chunks, made, strict=True):
                yield start, looked.result()
                start += len(chunk)
        finally:
            work.halt.set()
            pool.shutdown(cancel_futures=True)


def _wait(made: list[Future[_Looked]], tell: Callable[[], None]) -> None:
    """Wait until all is done, and tell how far it is meanwhile. Raises what any of them raises."""
    waiting = set(made)
    while waiting:
        done, waiting = wait(waiting, timeout=_TOLD_EVERY_S, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        tell()


def _chunks(pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
    """Yield pieces of work: some images, or some frames of one video, in order."""
    for video, group in groupby(pictures, lambda p: None if p.frame is None else p.path):
        some = list(group)
        size = _AT_A_TIME if video is None else _FRAMES_AT_A_TIME
        yield from (some[at : at + size] for at in range(0, len(some), size))


def _cached(chunk: list[Picture], cache: Cache, work: _Work) -> _Looked:
    key = Key(stage="calibration looks", inputs=tuple(p.digest for p in chunk), tools=("numpy", "pillow", "av"))
    found = cache.find(key, _Looked)
    if found is None:
        return cache.make(key, _Looked, lambda folder: _look(chunk, folder, work))
    work.count(len(chunk))
    return found


def _look(chunk: list[Picture], folder: Path, work: _Work) -> _Looked:
    import numpy as np

    from kit.calibration import features

    looks, seen, unread = [], [], []
    for position, small in enumerate(_squares(chunk)):
        work.count(1)
        if isinstance(small, Unread):
            unread.append(small)
        else:
            seen.append(position)
            looks.append(features.look(np.asarray(small, np.uint8)))
    path = folder / "looks.npz"
    np.savez(path, **vars(features.together(looks)))
    return _Looked(path=path, seen=tuple(seen), unread=tuple(unread))


def _squares(chunk: list[Picture]) -> Iterator[PIL.Image.Image | Unread]:
    """Yield each picture squeezed to a small square, or why it cannot be."""
    if chunk[0].frame is None:
        yield from (_square(picture.path) for picture in chunk)
        return
    from kit.calibration.features import SIDE

    path, numbers = chunk[0].path, [p.frame for p in chunk if p.frame is not None]
    reason, waiting = "it cannot be decoded", iter(numbers)
    try:
        for number, frame in videos.frames(path, videos.timeline(path), numbers):
            for lost in takewhile(lambda n, number=number: n != number, waiting):  # type: ignore[misc]
                yield Unread(path=path, reason=f"frame {lost}: {reason}")
            yield frame.small(SIDE)
    except (videos.VideoError, OSError) as error:
        reason = _reason(error)
    for lost in waiting:
        yield Unread(path=path, reason=f"frame {lost}: {reason}")


def _square(path: Path) -> PIL.Image.Image | Unread:
    from PIL import Image

    from kit.calibration.features import SIDE

    try:
        with decoded(path.read_bytes()) as image:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded at a fraction of its size
            small: PIL.Image.Image = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
            return small
    except (OSError, SyntaxError, ValueError) as error:  # all that decoders raise
        return Unread(path=path, reason=_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _workers() -> int:
    return min(8, len(os.sched_getaffinity(0)))


def silent(done: int, total: int) -> None:
    """Tell nobody."""


def require_any(listing: Listing, found: Candidates) -> None:
    """Refuse a source of which not one file can be read. Raises ``CalibrationError``."""
    if not found.pictures:
        first = f"{found.unread[0].path.name}: {found.unread[0].reason}"
        raise CalibrationError(f"not one of the {found.found} files of {listing.root} can be read (first: {first})")
