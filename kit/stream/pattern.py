"""Test pictures that move, with their number written into their pixels so that a program can read it back.

The number is a row of 16 cells along the upper edge, 8 pixels high, the highest bit on the left; white is 1. Cells of
that size survive lossy video.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PATTERNS = ("shapes", "bars", "noise")
DEFAULT_PATTERN = PATTERNS[0]
BITS = 16
_CELL_HEIGHT = 8
_COLOURS = ((230, 60, 50), (60, 180, 80), (50, 110, 220), (240, 190, 50))
_BARS = ((192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0), (192, 0, 192), (192, 0, 0), (0, 0, 192))
"""As of SMPTE EG 1, at 75 %."""


class Pattern:
    """Draws pictures of one size."""

    def __init__(self, *, width: int, height: int, name: str = DEFAULT_PATTERN) -> None:
        self.width = width
        self.height = height
        self.name = name

    def draw(self, number: int) -> npt.NDArray[np.uint8]:
        """Return picture ``number``, ``[H, W, 3]`` RGB; the same number gives the same pixels."""
        import numpy as np

        image: npt.NDArray[np.uint8]
        if self.name == "noise":
            image = np.random.default_rng(number).integers(0, 256, (self.height, self.width, 3), np.uint8)
        elif self.name == "bars":
            image = np.roll(self._background, number * 2 % self.width, axis=1)
        else:
            image = self._background.copy()
            self._shapes(image, number)
        write_number(image, number)
        return image

    @cached_property
    def _background(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        if self.name == "bars":
            bars = np.array(_BARS, np.uint8)[np.arange(self.width) * len(_BARS) // self.width]
            return np.tile(bars, (self.height, 1, 1))
        rows = np.linspace(40, 90, self.height)[:, None, None]
        columns = np.linspace(0, 40, self.width)[None, :, None]
        return np.broadcast_to(rows + columns, (self.height, self.width, 3)).astype(np.uint8)

    def _shapes(self, image: npt.NDArray[np.uint8], number: int) -> None:
        """Rectangles that run to and fro, each with its own speed."""
        side = max(4, min(self.width, self.height) // 6)
        for n, colour in enumerate(_COLOURS):
            x = _to_and_fro(number * (n + 2) + n * self.width // 4, self.width - side)
            y = _to_and_fro(number * (5 - n) + n * self.height // 5, self.height - side)
            image[y : y + side, x : x + side] = colour


def write_number(image: npt.NDArray[np.uint8], number: int) -> None:
    """Write ``number % 65536`` into the upper edge of ``image``, ``[H, W, 3]``; it is at least 16 pixels wide."""
    cell = image.shape[1] // BITS
    for bit in range(BITS):
        value = 255 if number >> (BITS - 1 - bit) & 1 else 0
        image[:_CELL_HEIGHT, bit * cell : (bit + 1) * cell] = value


def read_number(image: npt.NDArray[np.uint8]) -> int:
    """Return what ``write_number`` wrote, also after lossy compression."""
    cell = image.shape[1] // BITS
    row = image[1 : _CELL_HEIGHT - 1, : BITS * cell]
    means = row.reshape(row.shape[0], BITS, cell * 3).mean(axis=(0, 2))
    return int(sum(1 << (BITS - 1 - bit) for bit, mean in enumerate(means) if mean > 127))


def _to_and_fro(position: int, span: int) -> int:
    span = max(1, span)
    position %= 2 * span
    return position if position <= span else 2 * span - position
