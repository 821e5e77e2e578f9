"""The pictures that a model is calibrated on: chosen once, read while they are asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from kit import inputs
from kit.calibration import frames
from kit.errors import CalibrationError
from kit.types import DataType, Interpretation, Picture, Signature

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kit.inputs import Array


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of a source the choice shows.

    Counts of pictures: ``found`` in the source; of them ``copies`` of others, ``unread``, ``plain`` ones of one
    colour, ``leaking`` ones that are in the validation set too, and ``candidates``, which are left. ``different``
    counts those of the chosen of which no two are the same picture. ``kinds`` is how many kinds of scenes there are,
    ``kinds_chosen`` how many of them are among the chosen. ``variety`` is the share of their differences that is shown,
    0 to 1 (``kit.calibration.coverage.variety``); ``variety_first`` and ``variety_spread`` what the first pictures
    and evenly spread ones, as many, would show. ``brightness`` and ``brightness_chosen`` count pictures by mean
    luminance, in 16 steps from black to white.
    """

    found: int
    copies: int
    unread: int
    plain: int
    leaking: int
    candidates: int
    different: int
    kinds: int
    kinds_chosen: int
    variety: float
    variety_first: float
    variety_spread: float
    brightness: tuple[int, ...]
    brightness_chosen: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A chosen picture: in which place it was chosen (``rank``, from 0) and of which kind of scene it is.

    ``brightness`` is its mean luminance, 0 to 1; ``print`` the perceptual hash by which copies are known, 255 bits in
    hex.
    """

    picture: Picture
    rank: int
    kind: int
    brightness: float
    print: str


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """Pictures that cover a source, in the order in which they are read.

    Any beginning of the order of ``rank`` covers too. ``warnings`` are what the user should know, one line each.
    """

    choices: tuple[Choice, ...]
    coverage: Coverage
    warnings: tuple[str, ...] = ()

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures in the order of ``feeds``."""
        return tuple(choice.picture for choice in self.choices)

    @cached_property
    def digest(self) -> str:
        """The sha256 of what the pictures hold, in their order."""
        return hashlib.sha256("\n".join(p.digest for p in self.pictures).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.choices)

    def first(self, count: int) -> CalibrationSet:
        """Return the ``count`` pictures that were chosen first, which cover as well as so many can.

        ``coverage`` stays that of all.
        """
        return replace(self, choices=tuple(choice for choice in self.choices if choice.rank < count))

    def divided(self, every: int = 5) -> tuple[CalibrationSet, CalibrationSet | None]:
        """Return the pictures to calibrate on, and each of ``every`` that are held out; None where none can be.

        Of a kind that is left with one picture none is held out, but the next of another kind: ranges that never saw a
        kind are not right for it. ``coverage`` stays that of all.
        """
        out = _held_out(self.choices, every)
        if not out:
            return self, None
        kept, held = (tuple(c for c in self.choices if (c.rank in out) is is_out) for is_out in (False, True))
        return replace(self, choices=kept), replace(self, choices=held)

    def feeds(
        self, signature: Signature, batch: int = 1, meaning: Interpretation | None = None
    ) -> Iterator[dict[str, Array]]:
        """Yield all pictures, ``batch`` at a time, as a served model takes them: [B, H, W, C] uint8, letterboxed.

        The last batch may be smaller. A fixed batch dimension counts instead of ``batch``; its last one is filled up
        with the first pictures. A model that takes numbers instead of frames (``--contract native``) needs
        ``meaning`` with a normalisation.

        Raises ``CalibrationError`` where the model takes something else, or a picture is not what it was when it was
        chosen.
        """
        taken = signature if inputs.takes_frames(signature) else _as_frames(signature, meaning)
        frame, pictures = taken.inputs[0], self.pictures
        if frame.shape[0] > 0:
            batch = frame.shape[0]
            pictures += pictures[: -len(pictures) % batch]
        size = inputs.frame_size(frame)
        for group in _groups(frames.read(pictures, size, frame.shape[3]), batch):
            feed: dict[str, Array] = {frame.name: group}
            if taken is not signature:
                assert meaning is not None
                feed = inputs.to_native(feed, signature, replace(meaning, contract="served"))
            yield feed


def _held_out(choices: Sequence[Choice], every: int) -> frozenset[int]:
    """Return the ranks of the pictures that are held out."""
    left = Counter(choice.kind for choice in choices)
    out: set[int] = set()
    due = 0
    for place, choice in enumerate(choices):
        due += place % every == 0
        if due and left[choice.kind] > 1:
            out.add(choice.rank)
            left[choice.kind] -= 1
            due -= 1
    return frozenset(out)


def _groups(pictures: Iterator[npt.NDArray[np.uint8]], size: int) -> Iterator[npt.NDArray[np.uint8]]:
    import numpy as np

    waiting: list[npt.NDArray[np.uint8]] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)


def _as_frames(signature: Signature, meaning: Interpretation | None) -> Signature:
    """Return what a network of one picture input would take with normalisation in front of it.

    Raises ``CalibrationError``.
    """
    shown = ", ".join(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in signature.inputs) or "nothing"
    picture = inputs.one_picture(signature) or (signature.inputs[0] if len(signature.inputs) == 1 else None)
    if picture is None or len(picture.shape) != 4 or not {picture.shape[1], picture.shape[3]} & {1, 3}:
        raise CalibrationError(
            f"the model takes {shown}, and not one picture, so that pictures cannot calibrate it; "
            "give --precision fp32 or fp16"
        )
    if meaning is None or meaning.normalization is None:
        raise CalibrationError(
            f"the model takes {shown}, and nothing tells how pixels become these numbers; "
            "give --contract served, or --mean and --std"
        )
    batch, one, two, three = picture.shape
    shape = (batch, two, three, one) if one in (1, 3) else picture.shape
    frames_of = replace(picture, dtype=DataType.UINT8, shape=shape)
    return replace(signature, inputs=(frames_of,))
