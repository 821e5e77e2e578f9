"""Inputs to compare runs on: the user's own images where there are some, else reproducible random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit.errors import InputsError
from kit.types import DataType, Interpretation, Signature, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_PAD_GREY = 114  # as Ultralytics' LetterBox fills
_FREE_DIMENSION = 64
_FREE_IMAGE_SIDE = 320


@dataclass(frozen=True, kw_only=True)
class Samples:
    """``frames`` of the served contract (batch first), input name to array, and what they are."""

    description: str
    feeds: dict[str, Array]
    batched: bool = True

    def mapped(self, change: Callable[[dict[str, Array]], dict[str, Array]]) -> Samples:
        """Return the samples with their arrays changed."""
        return replace(self, feeds=change(self.feeds))

    def batch(self, size: int) -> dict[str, Array]:
        """Return the first ``size`` elements of each input; the whole inputs of a model that has no batches."""
        import numpy as np

        if not self.batched:
            return self.feeds
        return {name: np.ascontiguousarray(array[:size]) for name, array in self.feeds.items()}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make samples for a model: known, with a digest, before any image is read."""

    signature: Signature
    count: int
    images: tuple[Path, ...] = ()

    def chosen(self) -> tuple[Path, ...]:
        """Return the images that are used, spread over all; none where the model takes no UINT8 frames."""
        if not self.images or not _takes_frames(self.signature):
            return ()
        fixed = self.signature.inputs[0].shape[0]
        count = self.count if fixed == -1 else fixed
        return tuple(self.images[index * len(self.images) // count] for index in range(count))

    def digest(self) -> str:
        """Return the digest of what ``make`` depends on. Raises ``OSError`` where an image has gone."""
        digest = hashlib.sha256(repr((self.signature, self.count)).encode())
        for path in self.chosen():
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def make(self) -> Samples:
        """Read the images, else make random values for every input. Raises ``InputsError``."""
        import numpy as np

        batched = self.signature.batched
        if not (images := self.chosen()):
            made = {t.name: random(t, self.count) for t in self.signature.inputs}
            return Samples(description="random", feeds=made, batched=batched)
        frame = self.signature.inputs[0]
        _, height, width, channels = _concrete(frame)
        pictures = np.stack([read_image(path, (height, width), channels) for path in images])
        return Samples(description="images", feeds={frame.name: pictures}, batched=batched)


def batch_sizes(signature: Signature, largest: int) -> tuple[int, ...]:
    """Return the batch sizes to compare answers at: 1, 2 and the largest; only 1 where the model has no batch."""
    return tuple(sorted({1, min(2, largest), largest})) if signature.batched else (1,)


def images_in(folder: Path) -> tuple[Path, ...]:
    """Return the image files in ``folder``, sorted. Raises ``InputsError`` where there are none."""
    if not folder.is_dir():
        raise InputsError(f"{folder} is no folder; give a folder of images")
    files = tuple(sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES and p.is_file()))
    if not files:
        raise InputsError(f"{folder} holds no images ({', '.join(sorted(_IMAGE_SUFFIXES))})")
    return files


def random(tensor: Tensor, count: int) -> Array:
    """Return reproducible values for ``count`` batch elements: [0, 1) for floats, the whole range for bytes."""
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(tensor.name.encode()).digest()[:4], "little")
    generator = np.random.default_rng(seed)
    shape = _concrete(tensor)
    if tensor.shape and tensor.shape[0] == -1:
        shape = (count, *shape[1:])
    if tensor.dtype is DataType.BYTES:
        return generator.integers(0, 10, shape).astype(str).astype(object)
    if tensor.dtype is DataType.BOOL:
        return generator.integers(0, 2, shape).astype(np.bool_)
    dtype = np.dtype(tensor.dtype.numpy_name)
    if tensor.dtype.is_float:
        return generator.random(shape).astype(dtype)
    # Larger integers are mostly indices: 0 and 1 are inside any table.
    return generator.integers(0, 256 if tensor.dtype is DataType.UINT8 else 2, shape, dtype=dtype)


def read_image(path: Path, size: tuple[int, int], channels: int) -> npt.NDArray[np.uint8]:
    """Return a picture letterboxed to ``size`` (height, width): [H, W, channels] uint8, RGB.

    Raises ``InputsError`` where it cannot be decoded.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file.convert("RGB" if channels == 3 else "L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all that decoders raise
        raise InputsError(f"{path} is no image that can be read: {error}") from error
    height, width = size
    scale = min(height / picture.height, width / picture.width)
    scaled = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if scaled != picture.size:
        picture = picture.resize(scaled, Image.Resampling.BILINEAR)
    canvas = Image.new(picture.mode, (width, height), (_PAD_GREY,) * channels if channels > 1 else _PAD_GREY)
    canvas.paste(picture, ((width - scaled[0]) // 2, (height - scaled[1]) // 2))
    return np.asarray(canvas, dtype=np.uint8).reshape(height, width, channels)


def one_picture(signature: Signature) -> Tensor | None:
    """Return the only input as [1, 3, H, W] where it is one picture [3, H, W] whose answers are lists; else None.

    So torchvision's detectors are exported. A batch of three of something else gives three of something.
    """
    if len(signature.inputs) != 1 or not signature.outputs:
        return None
    tensor = signature.inputs[0]
    lists = all(t.shape and t.shape[0] == -1 for t in signature.outputs)
    if not lists or not tensor.dtype.is_float or len(tensor.shape) != 3 or tensor.shape[0] != 3:
        return None
    return replace(tensor, shape=(1, *tensor.shape))


def to_native(frames: dict[str, Array], native: Signature, meaning: Interpretation) -> dict[str, Array]:
    """Do in numpy what ``kit.contract`` puts in front of the network: frames to its own input."""
    import numpy as np

    if meaning.contract == "native":
        return frames
    (name, pixels), target = next(iter(frames.items())), native.inputs[0]
    if meaning.color == "bgr" and pixels.shape[3] == 3:
        pixels = np.ascontiguousarray(pixels[..., ::-1])
    if (normal := meaning.normalization) is None:
        return {name: pixels}
    factor = np.asarray([normal.scale / s for s in normal.std], np.float32)
    offset = np.asarray([-m / s for m, s in zip(normal.mean, normal.std, strict=True)], np.float32)
    values = pixels.astype(np.float32) * factor[: pixels.shape[3]] + offset[: pixels.shape[3]]
    if len(target.shape) == 3:
        values = values[0].transpose(2, 0, 1)
    elif target.shape[1] == pixels.shape[3]:
        values = values.transpose(0, 3, 1, 2)
    return {name: np.ascontiguousarray(values).astype(target.dtype.numpy_name)}


def _takes_frames(signature: Signature) -> bool:
    if len(signature.inputs) != 1:
        return False
    tensor = signature.inputs[0]
    return tensor.dtype is DataType.UINT8 and len(tensor.shape) == 4 and tensor.shape[3] in (1, 3)


def _concrete(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape with free dimensions filled in; the batch dimension is 1."""
    free = _FREE_IMAGE_SIDE if len(tensor.shape) == 4 else _FREE_DIMENSION
    return tuple((1 if i == 0 else free) if d == -1 else d for i, d in enumerate(tensor.shape))
