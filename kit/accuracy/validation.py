"""Pictures that were held out from training and calibration, and what is marked in them: ``read``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kit.accuracy import layouts
from kit.accuracy.layouts.interface import Marked
from kit.accuracy.types import Arrays, Classes, Objects, Truth
from kit.cache import file_digest
from kit.errors import InputsError, ValidationSetError
from kit.inputs import read_image
from kit.types import DataType, Interpretation, Picture, Signature, Tensor

_FREE_SIZE = (320, 320)
"""Height and width in pixels where the model takes pictures of any size."""

_NAMED = 5
"""Missing classes that are named in a note; of more, only how many."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A validation set: N pictures with their ``truth``, or none of it (None: agreement is all that can be measured).

    ``sizes`` are height and width of the pictures' files in pixels; ``names`` are the classes', by index, as far as
    they are known. ``notes`` are what the user should know, a sentence each. ``digest`` covers pictures and truth.
    """

    layout: str
    pictures: tuple[Picture, ...]
    sizes: tuple[tuple[int, int], ...]
    truth: tuple[Truth, ...] | None
    names: tuple[str, ...]
    class_count: int | None
    notes: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self.pictures)

    def feeds(self, signature: Signature, batch: int = 1) -> Iterator[Arrays]:
        """Yield the pictures as the served contract takes them, ``batch`` at a time, read while they are asked for.

        Raises ``ValidationSetError`` where a picture cannot be decoded, or the model takes no frames.
        """
        return feeds(self.pictures, signature, batch)

    def only(self, digests: frozenset[str]) -> Validation:
        """Return the pictures with these digests, their truth with them. Raises ``ValidationSetError`` for none."""
        chosen = [index for index, picture in enumerate(self.pictures) if picture.digest in digests]
        if not chosen:
            raise ValidationSetError("none of these pictures is in the validation set")
        pictures = tuple(self.pictures[index] for index in chosen)
        parts = repr((self.digest, [picture.digest for picture in pictures]))
        return replace(
            self,
            pictures=pictures,
            sizes=tuple(self.sizes[index] for index in chosen),
            truth=None if self.truth is None else tuple(self.truth[index] for index in chosen),
            digest=hashlib.sha256(parts.encode()).hexdigest(),
        )

    @property
    def most_classes(self) -> int:
        """How many classes there are by what is marked: one more than the largest index."""
        return max(shown_classes(self.truth), default=-1) + 1

    def name_of(self, index: int) -> str:
        """Return a class's name, or its number as text."""
        return self.names[index] if 0 <= index < len(self.names) and self.names[index] else str(index)


def read(path: Path, meaning: Interpretation, labels: Sequence[str] = ()) -> Validation:
    """Return the validation set at ``path``: a COCO file or its folder, a folder in another layout, or of pictures.

    ``labels`` are the model's class names, by which those of the set are found. Raises ``ValidationSetError``, and
    ``InputsError`` where there are no pictures.
    """
    names, count = tuple(labels), meaning.class_count
    layout = meaning.layout
    classes = Classes(
        task="raw" if meaning.contract == "native" else meaning.task,
        names=names,
        count=len(names) if count is None and names else count,
        keypoints=layout.keypoints if layout is not None else None,
    )
    chosen = layouts.choose(path, classes.task)
    marked = chosen.read(path, classes)
    if not marked.files:
        raise ValidationSetError(f"{path}: no picture is left to validate on; {layouts.expects(classes.task)}")
    return _assembled(marked, chosen.name, classes)


def feeds(pictures: Iterable[Picture], signature: Signature, batch: int = 1) -> Iterator[Arrays]:
    """Yield pictures as frames, letterboxed as a camera's are. Raises ``ValidationSetError``."""
    import numpy as np

    frame = require_frames(signature)
    size, channels = frame_size(frame), frame.shape[3]
    waiting: list[object] = []
    for picture in pictures:
        try:
            waiting.append(read_image(picture.path, size, channels))
        except InputsError as error:
            raise ValidationSetError(f"validation: {error}; delete it or put a whole one there") from error
        if len(waiting) == batch:
            yield {frame.name: np.stack(waiting)}  # type: ignore[arg-type]
            waiting = []
    if waiting:
        yield {frame.name: np.stack(waiting)}  # type: ignore[arg-type]


def require_frames(signature: Signature) -> Tensor:
    """Return the only input, UINT8 frames [N, H, W, 1 or 3]. Raises ``ValidationSetError`` where it is another."""
    frame = signature.inputs[0] if len(signature.inputs) == 1 else None
    if frame is None or frame.dtype is not DataType.UINT8 or len(frame.shape) != 4 or frame.shape[3] not in (1, 3):
        taken = ", ".join(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in signature.inputs)
        raise ValidationSetError(
            f"pictures can be shown to a model that takes UINT8 frames [N, H, W, 3], this one takes {taken}; "
            "leave --contract native out"
        )
    return frame


def frame_size(frame: Tensor) -> tuple[int, int]:
    """Return height and width of the frames in pixels."""
    _, height, width, _ = frame.shape
    return (height if height > 0 else _FREE_SIZE[0], width if width > 0 else _FREE_SIZE[1])


def _assembled(marked: Marked, layout: str, classes: Classes) -> Validation:
    pictures = tuple(Picture(path=path, digest=_digest(path)) for path in marked.files)
    names = classes.names or marked.names
    digest = hashlib.sha256(repr((layout, names, classes.count, [p.digest for p in pictures])).encode())
    for path in marked.sources:
        digest.update(_digest(path).encode())
    return Validation(
        layout=layout,
        pictures=pictures,
        sizes=marked.sizes,
        truth=marked.truth,
        names=names,
        class_count=classes.count or (len(names) or None),
        notes=(*marked.notes, *_missing(marked, names, classes.count)),
        digest=digest.hexdigest(),
    )


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise ValidationSetError(f"{path} cannot be read: {error.strerror}") from error


def _missing(marked: Marked, names: tuple[str, ...], count: int | None) -> Iterator[str]:
    """Say which classes no picture shows: nothing can be said of them."""
    shown = shown_classes(marked.truth)
    total = count or len(names)
    missing = [index for index in range(total) if index not in shown] if shown else []
    if missing:
        some = ", ".join(names[i] if i < len(names) else str(i) for i in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        yield (
            f"{len(missing)} of {total} classes are in no validation picture, and nothing is known of what they lose: "
            f"{some}{more}"
        )


def shown_classes(truth: tuple[Truth, ...] | None) -> frozenset[int]:
    """Return the classes that are marked somewhere; none where masks would have to be read for it."""
    shown: set[int] = set()
    for one in truth or ():
        if isinstance(one, Objects):
            shown.update(int(index) for index in one.classes)
        elif isinstance(one, int):
            shown.add(one)
    return frozenset(shown)
