"""How a frame becomes a model's input: size, element type, order of dimensions, normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

from kit.stream.letterbox import Canvas, Letterbox
from kit.types import DataType, Normalization

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RGB_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """A model's only input, which takes pictures. ``batched``: its shape begins with a dimension of one frame.

    ``normalization`` None: pixels as they are, 0 to 255. ``color`` is ``rgb`` or ``bgr``.
    """

    name: str
    dtype: DataType
    height: int
    width: int
    channels: int
    channels_first: bool
    batched: bool
    normalization: Normalization | None = None
    color: str = "rgb"

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape of one frame, without a batch dimension."""
        size = (self.height, self.width)
        return (self.channels, *size) if self.channels_first else (*size, self.channels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in a request with one frame."""
        return (1, *self.frame_shape) if self.batched else self.frame_shape

    @property
    def byte_size(self) -> int:
        """Bytes of one frame on the wire."""
        return prod(self.frame_shape) * (int(self.dtype.numpy_name[-2:]) // 8 if self.dtype.is_float else 1)

    @property
    def direct(self) -> bool:
        """Whether the input is a picture as the decoder gives it, so that it can be drawn where it is sent from."""
        as_decoded = self.dtype is DataType.UINT8 and not self.channels_first and self.color == "rgb"
        return as_decoded and self.channels == RGB_CHANNELS and self.normalization is None

    def __str__(self) -> str:
        """Say it to a person."""
        return (
            f"frames of {self.width} x {self.height} as {self.dtype.value} {'NCHW' if self.channels_first else 'NHWC'}"
        )


@dataclass(frozen=True, kw_only=True)
class Packer:
    """Writes frames into buffers of ``layout.byte_size``. One thread at a time."""

    layout: PixelLayout

    @cached_property
    def staging(self) -> Canvas:
        """The letterboxed picture, where the input itself is something else."""
        import numpy as np

        return Canvas(array=np.empty((self.layout.height, self.layout.width, RGB_CHANNELS), np.uint8))

    def sheet(self, buffer: memoryview | bytearray) -> Sheet:
        """Return what writes into a buffer."""
        import numpy as np

        array = np.frombuffer(buffer, self.layout.dtype.numpy_name).reshape(self.layout.frame_shape)
        return Sheet(packer=self, array=array, canvas=Canvas(array=array) if self.layout.direct else self.staging)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A buffer that takes one frame at a time in the form of the model's input."""

    packer: Packer
    array: npt.NDArray[np.generic]
    canvas: Canvas

    def write(self, image: npt.NDArray[np.uint8]) -> Letterbox:
        """Write a frame [H, W, 3], RGB; return where it lies in the input."""
        box = self.canvas.draw(image)
        if not self.packer.layout.direct:
            convert(self.canvas.array, self.array, self.packer.layout)
        return box


def convert(picture: npt.NDArray[np.uint8], into: npt.NDArray[np.generic], layout: PixelLayout) -> None:
    """Do what ``kit.contract`` puts in front of a network: ``picture`` [H, W, 3] RGB to the model's own input.

    ``(pixel * scale - mean) / std`` in float32, one channel at a time, written where it belongs.
    """
    import numpy as np

    planes = _planes(picture, layout)
    targets = into if layout.channels_first else np.moveaxis(into, -1, 0)
    normal = layout.normalization
    for index, (plane, target) in enumerate(zip(planes, targets, strict=True)):
        if normal is None:
            target[...] = plane
            continue
        factor = np.float32(normal.scale / normal.std[index])
        offset = np.float32(-normal.mean[index] / normal.std[index])
        if target.dtype == np.float32:
            np.multiply(plane, factor, out=target)
            if offset:
                np.add(target, offset, out=target)
        else:
            target[...] = plane * factor + offset


def _planes(picture: npt.NDArray[np.uint8], layout: PixelLayout) -> tuple[npt.NDArray[np.uint8], ...]:
    """Return the channels [H, W] in the model's order; grey as ITU-R BT.601 weighs the colours."""
    import numpy as np

    red, green, blue = (picture[..., index] for index in range(RGB_CHANNELS))
    if layout.channels == 1:
        grey = red * np.float32(0.299) + green * np.float32(0.587) + blue * np.float32(0.114)
        return (np.rint(grey).astype(np.uint8),)
    return (blue, green, red) if layout.color == "bgr" else (red, green, blue)
