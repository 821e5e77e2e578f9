"""What is seen of a picture: cheap numbers that tell kinds of scenes apart, and a print that knows a copy again.

Everything is read off the picture squeezed to 64 x 64 pixels, so that it costs little more than decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

SIDE = 64
"""Pixels of the square that is looked at."""
PRINT = 16
"""Frequencies in each direction that make a print: 16 x 16 signs, that of the mean left out: 255 bits."""
SMALL = 32
"""Pixels of the square by which two pictures with like prints are compared."""
VARIETY = 132
"""Numbers by which scenes differ."""

Floats: TypeAlias = "npt.NDArray[np.float32]"
Bytes: TypeAlias = "npt.NDArray[np.uint8]"

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_RED, _BLUE = np.float32(0.713), np.float32(0.564)  # Cr and Cb of the same
_CHROMA_RANGE = 0.3
_GRADIENTS = np.array([0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256], np.float32)
_WAVES = np.cos((2 * np.arange(SIDE)[None] + 1) * np.arange(PRINT)[:, None] * np.pi / (2 * SIDE)).astype(np.float32)
"""Rows of the cosine transform (DCT-II): mirrored pictures only change the signs of odd rows or columns."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Extremes of these widen the ranges that INT8 has to hold: all from 0 to 1, one for each picture."""

    brightness: Floats
    darkest: Floats
    brightest: Floats
    contrast: Floats
    colour: Floats
    detail: Floats


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What was seen of P pictures.

    ``vectors`` [P, 132] float32: distances between them are distances between kinds of scenes. ``measures`` [P, 6]:
    see ``Measures``. ``prints`` [P, 32] uint8: 256 bits. ``smalls`` [P, 32, 32] uint8: luminance. ``smoothness`` [P]:
    how alike neighbouring pixels are, 1 for gentle pictures, 0 for noise.
    """

    vectors: Floats
    measures: Floats
    prints: Bytes
    smalls: Bytes
    smoothness: Floats

    def __len__(self) -> int:
        return len(self.vectors)

    def part(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Looks:
        """Return some of them."""
        return Looks(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def named(self) -> Measures:
        """Return the measures, each by its name."""
        return Measures(**{n: self.measures[:, i] for i, n in enumerate(Measures.__dataclass_fields__)})


def look(picture: Bytes) -> Looks:
    """Return what is seen of one picture [64, 64, 3] uint8, RGB."""
    pixels = picture.astype(np.float32) / np.float32(255)
    light = pixels @ _LUMINANCE
    across, down = np.diff(light, axis=1), np.diff(light, axis=0)
    measures = _measures(pixels, light, across, down)
    parts = (
        _shares(np.histogram(light, 16, (0, 1))[0]),
        _shares(_chroma(pixels, light)) * 0.7,
        (_blocks(light, 8) - light.mean()).ravel() / 4,
        _shares(np.bincount(np.digitize(np.abs(across), _GRADIENTS).ravel(), minlength=8)) * 0.7,
        _details(light) * 2,
        measures[:5],
    )
    return Looks(
        vectors=np.concatenate(parts).astype(np.float32)[None],
        measures=measures[None],
        prints=_print(light)[None],
        smalls=np.rint(_blocks(light, SMALL) * 255).astype(np.uint8)[None],
        smoothness=np.array([_smoothness(light)], np.float32),
    )


def together(looks: list[Looks]) -> Looks:
    """Return several as one."""
    empty = Looks(
        vectors=np.zeros((0, VARIETY), np.float32), measures=np.zeros((0, 6), np.float32),
        prints=np.zeros((0, 32), np.uint8), smalls=np.zeros((0, SMALL, SMALL), np.uint8),
        smoothness=np.zeros(0, np.float32),
    )  # fmt: skip
    return Looks(
        **{n: np.concatenate([getattr(each, n) for each in (empty, *looks)]) for n in Looks.__dataclass_fields__}
    )


def _measures(pixels: Floats, light: Floats, across: Floats, down: Floats) -> Floats:
    darkest, brightest = np.percentile(light, (1, 99))
    colour = (pixels.max(axis=2) - pixels.min(axis=2)).mean()
    detail = (np.abs(across).mean() + np.abs(down).mean()) / 2
    return np.array([light.mean(), darkest, brightest, light.std(), colour, detail], np.float32)


def _shares(counts: npt.NDArray[np.generic]) -> Floats:
    """Return roots of shares: their distance is Hellinger's, at most 1.42 between histograms that share nothing."""
    made: Floats = np.sqrt(counts.ravel() / max(1, counts.sum())).astype(np.float32)
    return made


def _chroma(pixels: Floats, light: Floats) -> npt.NDArray[np.generic]:
    red = np.clip((pixels[..., 0] - light) * _RED, -_CHROMA_RANGE, _CHROMA_RANGE)
    blue = np.clip((pixels[..., 2] - light) * _BLUE, -_CHROMA_RANGE, _CHROMA_RANGE)
    ends = (-_CHROMA_RANGE, _CHROMA_RANGE)
    counts: npt.NDArray[np.generic] = np.histogram2d(red.ravel(), blue.ravel(), 6, (ends, ends))[0]
    return counts


def _blocks(light: Floats, side: int) -> Floats:
    """Return means of square blocks: [side, side]."""
    size = SIDE // side
    means: Floats = light.reshape(side, size, side, size).mean(axis=(1, 3))
    return means


def _details(light: Floats) -> Floats:
    """Return the differences between neighbours at three scales: how large what is seen is."""
    scales = (light, _blocks(light, SIDE // 2), _blocks(light, SIDE // 8))
    return np.array([np.abs(np.diff(s, axis=1)).mean() for s in scales], np.float32)


def _print(light: Floats) -> Bytes:
    """Return the signs of low frequencies, 256 bits in 32 bytes: scaling and JPEG change few of them, light none."""
    signs = _WAVES @ light @ _WAVES.T > 0
    signs[0, 0] = False
    return np.packbits(signs)


def _smoothness(light: Floats) -> float:
    """Return the correlation of neighbouring pixels."""
    left, right = light[:, :-1] - light.mean(), light[:, 1:] - light.mean()
    return float((left * right).mean() / max(float(light.var()), 1e-9))
