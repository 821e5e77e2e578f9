"""A frame of any size into the fixed size that a network takes, and its boxes back.

The frame is scaled as a whole (bilinear), put into the middle, and the rest is grey 114: as YOLO networks are trained
(Ultralytics' ``LetterBox``) and as ``kit.inputs`` shows pictures to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PADDING = 114


@dataclass(frozen=True, kw_only=True)
class Letterbox:
    """Where a frame lies in the network's input. All sizes in pixels.

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

    @property
    def unchanged(self) -> bool:
        """Whether the frame has the input's size already."""
        return (self.source_width, self.source_height) == (self.input_width, self.input_height)

    def to_input(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map boxes [K, 4] of x1, y1, x2, y2 from the source frame to the input."""
        return boxes * self._factors() + _twice(self.offset)

    def to_source(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map boxes [K, 4] of x1, y1, x2, y2 from the input to the source frame, cut at its edges."""
        import numpy as np

        mapped = (boxes - _twice(self.offset)) / self._factors()
        inside: npt.NDArray[np.float32] = np.clip(
            mapped, np.float32(0), _twice((self.source_width, self.source_height))
        )
        return inside

    def cut(self, maps: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return the part [..., h, w] of maps over the input, of any resolution, that shows the frame."""
        rows, columns = maps.shape[-2:]
        (width, height), (left, top) = self.size, self.offset
        down, across = rows / self.input_height, columns / self.input_width
        first, begin = min(round(top * down), rows - 1), min(round(left * across), columns - 1)
        last, end = round((top + height) * down), round((left + width) * across)
        shown: npt.NDArray[np.generic] = maps[..., first : max(first + 1, last), begin : max(begin + 1, end)]
        return shown

    def _factors(self) -> npt.NDArray[np.float32]:
        width, height = self.size
        return _twice((width / self.source_width, height / self.source_height))


@dataclass(kw_only=True)
class Canvas:
    """A buffer [H, W, 3] uint8 that frames are drawn into, one after another."""

    array: npt.NDArray[np.uint8]
    _bordered: Letterbox | None = field(default=None, repr=False)
    """The letterbox whose grey is around the picture now."""

    def fit(self, image: npt.NDArray[np.uint8]) -> Letterbox:
        """Return where a frame [h, w, 3] would lie."""
        (height, width), (rows, columns) = image.shape[:2], self.array.shape[:2]
        return Letterbox(source_width=width, source_height=height, input_width=columns, input_height=rows)

    def draw(self, image: npt.NDArray[np.uint8]) -> Letterbox:
        """Draw a frame [h, w, 3] and return where it lies. Raises ``MissingExtraError`` without OpenCV.

        The picture is written once, where it belongs; the grey only when the frames' size changes.
        """
        box = self.fit(image)
        if box.unchanged:
            self.array[...] = image
            self._bordered = None
            return box
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError(
                "opencv-python-headless", "camera", "scaling a frame to the model's size"
            ) from error

        if box != self._bordered:
            self.array[...] = PADDING
            self._bordered = box
        (width, height), (left, top) = box.size, box.offset
        inside = self.array[top : top + height, left : left + width]
        made = cv2.resize(image, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
        if made is not inside and not _same_memory(made, inside):
            inside[...] = made
        return box


def _same_memory(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> bool:
    """Return whether OpenCV wrote where it was asked to; it makes a new array where it cannot."""
    return bool(first.__array_interface__["data"][0] == second.__array_interface__["data"][0])


def _twice(pair: tuple[float, float]) -> npt.NDArray[np.float32]:
    import numpy as np

    return np.array([*pair, *pair], np.float32)
