"""What both models are asked: the user's images, else reproducible random values, made one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit import inputs
from kit.types import DataType, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"

_CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class Feeds:
    """``count`` feeds of ``batch`` elements each; iterating makes them anew, always the same.

    ``tensors`` are of fixed shapes but for a batch of -1. ``images`` are used where there is one input and it is a
    picture: as UINT8 frames, or for floats as pixel / 255.
    """

    tensors: tuple[Tensor, ...]
    count: int
    batch: int
    images: tuple[Path, ...] = ()

    @property
    def described(self) -> str:
        """``images`` or ``random``."""
        return "images" if self.images and picture(self.tensors) else "random"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Arrays]:
        for index in range(self.count):
            yield self._made(index)

    def _made(self, index: int) -> Arrays:
        if self.described == "images":
            return {self.tensors[0].name: self._pictures(index)}
        return {tensor.name: _random(tensor, index, self.batch) for tensor in self.tensors}

    def _pictures(self, index: int) -> Array:
        import numpy as np

        tensor = self.tensors[0]
        planes_first = tensor.shape[3] not in _CHANNELS
        height, width = tensor.shape[2:] if planes_first else tensor.shape[1:3]
        channels = tensor.shape[1] if planes_first else tensor.shape[3]
        size = tensor.shape[0] if tensor.shape[0] > 0 else self.batch
        chosen = [self.images[(index * size + step) % len(self.images)] for step in range(size)]
        frames = np.stack([inputs.read_image(path, (height, width), channels) for path in chosen])
        if planes_first:
            frames = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
        return frames if tensor.dtype is DataType.UINT8 else (frames / 255).astype(tensor.dtype.numpy_name)


def picture(tensors: tuple[Tensor, ...]) -> bool:
    """Tell whether there is one input, and it is a picture."""
    if len(tensors) != 1 or len(tensors[0].shape) != 4:
        return False
    shape, dtype = tensors[0].shape, tensors[0].dtype
    return (shape[3] in _CHANNELS or shape[1] in _CHANNELS) and (dtype is DataType.UINT8 or dtype.is_float)


def concrete(tensor: Tensor) -> Tensor:
    """Return the tensor with the sizes that are free, but for the batch, as ``kit.inputs`` chooses them."""
    made = inputs.random(tensor, 1)
    free = tensor.shape[:1] == (-1,)
    return replace(tensor, shape=(-1, *made.shape[1:]) if free else made.shape)


def cast(feeds: Mapping[str, Array], tensors: tuple[Tensor, ...], names: Mapping[str, str]) -> Arrays:
    """Return feeds under the names and in the types of another model's inputs; ``names`` leads to them."""
    types = {tensor.name: tensor.dtype.numpy_name for tensor in tensors}
    return {names[name]: value.astype(types[names[name]], copy=False) for name, value in feeds.items()}


def _random(tensor: Tensor, index: int, batch: int) -> Array:
    """Return values that differ from one index to the next."""
    named = tensor if index == 0 else replace(tensor, name=f"{tensor.name}#{index}")
    return inputs.random(named, batch)
