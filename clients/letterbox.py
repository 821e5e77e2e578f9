"""A frame of any size into the fixed size that a network takes, and its boxes back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]

PADDING = 114
"""The grey that YOLO networks are trained with around a frame."""


@dataclass(frozen=True, kw_only=True)
class Letterbox:
    """The frame is scaled as a whole, put into the middle, and the rest is grey. All sizes in pixels.

    Boxes are continuous: 0 is the left edge of the first pixel, ``width`` the right edge of the last, so that they
    scale by a plain factor. ``to_source(to_input(boxes))`` gives the boxes back if they lie in the frame.
    """

    source_width: int
    source_height: int
    input_width: int
    input_height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the scaled frame: at least 1, at most the input's."""
        scale = min(self.input_width / self.source_width, self.input_height / self.source_height)
        return max(1, round(self.source_width * scale)), max(1, round(self.source_height * scale))

    @property
    def offset(self) -> tuple[int, int]:
        """Left and upper edge of the scaled frame in the input."""
        width, height = self.size
        return (self.input_width - width) // 2, (self.input_height - height) // 2

    def apply(self, frame: Frame) -> Frame:
        """Return the input [H, W, 3] of a frame [h, w, 3]."""
        if frame.shape[:2] == (self.input_height, self.input_width):
            return frame
        (width, height), (left, top) = self.size, self.offset
        shrinks = width < self.source_width
        canvas = np.full((self.input_height, self.input_width, 3), PADDING, np.uint8)
        canvas[top : top + height, left : left + width] = cv2.resize(
            frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        return canvas

    def to_input(self, boxes: Boxes) -> Boxes:
        """Map boxes [N, 4] of x1, y1, x2, y2 from the source frame to the input."""
        return boxes * self._factors() + _twice(self.offset)

    def to_source(self, boxes: Boxes) -> Boxes:
        """Map boxes [N, 4] of x1, y1, x2, y2 from the input to the source frame, cut at its edges."""
        mapped = (boxes - _twice(self.offset)) / self._factors()
        inside: Boxes = np.clip(mapped, np.float32(0), _twice((self.source_width, self.source_height)))
        return inside

    def _factors(self) -> Boxes:
        width, height = self.size
        return _twice((width / self.source_width, height / self.source_height))


def _twice(pair: tuple[float, float]) -> Boxes:
    return np.array([*pair, *pair], np.float32)
