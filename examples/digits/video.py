"""A short video: digits of the test split drift over a photograph that a camera pans across."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from examples.digits.materials import Materials, Split, materials, photograph
from examples.digits.scenes import Hand, render_ink

WIDTH_PX, HEIGHT_PX = 640, 480
FRAMES_PER_SECOND = 15
FRAMES = 105
DIGITS = 7

_PHOTOGRAPH = "coffee"  # of the test split
_BIT_RATE = 1_100_000  # per second
_BRIGHT = ((250, 250, 240), (255, 225, 60), (120, 240, 255), (190, 255, 120))
_DARK = ((20, 30, 110), (15, 15, 15), (130, 20, 30), (10, 80, 40))
_NOTES = ((250, 240, 150), (245, 245, 240), (190, 225, 250), (250, 205, 215))


@dataclass(frozen=True, kw_only=True)
class Drifter:
    """One digit, on a note or bare, that moves on an ellipse."""

    ink: NDArray[np.float32]
    """`[h, w]`, 0 to 1."""
    colour: tuple[int, int, int]
    """Of the ink, RGB."""
    note: tuple[int, int, int] | None
    """Of the paper under it, RGB."""
    centre_px: tuple[float, float]
    reach_px: tuple[float, float]
    phase_rad: float
    turns: int
    """Whole rounds from the first frame to the last: the video can be looped."""

    def place(self, share: float) -> NDArray[np.float32]:
        """The affine matrix `[2, 3]` from ink to frame at this share of the video, 0 to 1."""
        angle = self.phase_rad + 2 * np.pi * self.turns * share
        x = self.centre_px[0] + self.reach_px[0] * np.cos(angle) - self.ink.shape[1] / 2
        y = self.centre_px[1] + self.reach_px[1] * np.sin(angle) - self.ink.shape[0] / 2
        return np.array([[1, 0, x], [0, 1, y]], dtype=np.float32)


def drifters(rng: Generator, supply: Materials) -> list[Drifter]:
    """Digits of all different classes, each in its own cell of a 4 x 2 grid, so that they never meet.

    The upper row lies over a white cup and so is on notes; the lower row is bare.
    """
    made = []
    for cell, digit in enumerate(rng.permutation(10)[:DIGITS]):
        glyph = supply.glyphs[int(rng.choice(np.flatnonzero(supply.labels == digit)))]
        hand = Hand(turn_rad=float(rng.uniform(-0.12, 0.12)), threshold=0.5)
        ink = render_ink(glyph, float(rng.uniform(75, 140)), hand)
        bare = cell >= 4
        made.append(
            Drifter(
                ink=np.pad(ink, 18),
                colour=_BRIGHT[cell % 4] if bare else _DARK[cell % 4],
                note=None if bare else _NOTES[cell % 4],
                centre_px=(160.0 * (cell % 4) + 80 * (2 if bare else 1), 120.0 if not bare else 355.0),
                reach_px=(float(rng.uniform(8, 16)), float(rng.uniform(15, 28))),
                phase_rad=float(rng.uniform(0, 2 * np.pi)),
                turns=int(rng.integers(1, 3)),
            )
        )
    return made


def draw(canvas: NDArray[np.float32], digit: Drifter, share: float) -> None:
    """Blend a digit, and its note where it has one, into a frame `[480, 640, 3]` in place."""
    matrix = digit.place(share)
    if digit.note is not None:
        sheet = cv2.warpAffine(np.ones_like(digit.ink), matrix, (WIDTH_PX, HEIGHT_PX))[:, :, None]
        canvas += sheet * (np.array(digit.note, dtype=np.float32) - canvas)
    alpha = 0.95 * cv2.warpAffine(digit.ink, matrix, (WIDTH_PX, HEIGHT_PX))[:, :, None]
    canvas += alpha * (np.array(digit.colour, dtype=np.float32) - canvas)


def frames(*, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Every frame, `[480, 640, 3]` uint8, RGB."""
    moving = drifters(np.random.default_rng(seed), materials(Split.TEST))
    wide = cv2.GaussianBlur(cv2.resize(photograph(_PHOTOGRAPH), (840, 560), interpolation=cv2.INTER_CUBIC), (0, 0), 1.0)
    for index in range(FRAMES):
        share = index / FRAMES
        corner = (100 - 90 * np.cos(2 * np.pi * share), 40 + 35 * np.sin(2 * np.pi * share))
        shift = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]], dtype=np.float32)
        canvas = cv2.warpAffine(wide, shift, (WIDTH_PX, HEIGHT_PX)).astype(np.float32)
        for digit in moving:
            draw(canvas, digit, share)
        yield np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def write_video(path: Path, *, seed: int) -> None:
    """Write the frames as H.264 in MP4. One encoder thread, so that the bytes repeat. Needs PyAV."""
    import av

    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.bit_rate = _BIT_RATE
        stream.thread_count = 1
        for pixels in frames(seed=seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
