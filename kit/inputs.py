"""Inputs to compare runs on: the user's own images where there are some, else reproducible random ones."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit.errors import InputsError, OutOfMemoryError
from kit.types import DataType, Interpretation, Signature, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

Array: TypeAlias = "npt.NDArray[np.generic]"

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_PAD_GREY = 114  # as Ultralytics' LetterBox fills
_FREE_DIMENSION = 64
_LARGEST_ELEMENT = 8  # bytes
_FREE_IMAGE_SIZE = (320, 320)
_OTHER_IMAGE_SIZE = (256, 384)
"""Height and width in pixels of a picture whose size is free: multiples of 32, to which most networks reduce it."""


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
    """How to make samples for a model: known, with a digest, before any image is read.

    ``free`` is the height and width of a picture where the model leaves them open.
    """

    signature: Signature
    count: int
    images: tuple[Path, ...] = ()
    free: tuple[int, int] = _FREE_IMAGE_SIZE

    def resized(self) -> Recipe | None:
        """Return the same with pictures of another size; None where the model leaves no size open."""
        if not any(len(t.shape) == 4 and -1 in t.shape[1:] for t in self.signature.inputs):
            return None
        return replace(self, free=_OTHER_IMAGE_SIZE)

    def chosen(self) -> tuple[Path, ...]:
        """Return the images that are used, spread over all; none where the model takes no UINT8 frames."""
        if not self.images or not takes_frames(self.signature):
            return ()
        fixed = self.signature.inputs[0].shape[0]
        count = self.count if fixed == -1 else fixed
        return tuple(self.images[index * len(self.images) // count] for index in range(count))

    def digest(self) -> str:
        """Return the digest of what ``make`` depends on. Raises ``InputsError`` where an image has gone."""
        digest = hashlib.sha256(repr((self.signature, self.count)).encode())
        for path in self.chosen():
            with _readable(path):
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def make(self) -> Samples:
        """Read the images, else make random values for every input.

        Raises ``InputsError``, and ``OutOfMemoryError`` where the inputs are larger than half of the machine's memory.
        """
        import numpy as np

        _require_room(self.signature, self.count, self.free)
        batched = self.signature.batched
        if not (images := self.chosen()):
            made = {t.name: random(t, self.count, self.free) for t in self.signature.inputs}
            return Samples(description="random", feeds=made, batched=batched)
        frame = self.signature.inputs[0]
        _, height, width, channels = _concrete(frame, self.free)
        pictures = np.stack([read_image(path, (height, width), channels) for path in images])
        return Samples(description="images", feeds={frame.name: pictures}, batched=batched)


def batch_sizes(signature: Signature, largest: int) -> tuple[int, ...]:
    """Return the batch sizes to compare answers at: 1, 2 and the largest; only 1 where the model has no batch."""
    return tuple(sorted({1, min(2, largest), largest})) if signature.batched else (1,)


def images_in(folder: Path) -> tuple[Path, ...]:
    """Return the image files in ``folder``, sorted. Raises ``InputsError`` where there are none."""
    with _readable(folder):
        if not folder.is_dir():
            raise InputsError(f"{folder} is no folder; give a folder of images")
        files = tuple(sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()))
    if not files:
        raise InputsError(f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return files


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputsError(f"{error.filename or place} cannot be read: {error.strerror}") from error


def random(tensor: Tensor, count: int, free: tuple[int, int] = _FREE_IMAGE_SIZE) -> Array:
    """Return reproducible values for ``count`` batch elements: [0, 1) for floats, the whole range for bytes.

    ``free`` is the height and width of a picture where the tensor leaves them open.
    """
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(tensor.name.encode()).digest()[:4], "little")
    generator = np.random.default_rng(seed)
    shape = _concrete(tensor, free)
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
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file.convert("RGB" if channels == 3 else "L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all that decoders raise
        raise InputsError(f"{path} is no image that can be read: {error}") from error
    return letterboxed(picture, size)


def letterboxed(picture: PIL.Image.Image, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a picture of mode RGB or L scaled into ``size`` (height, width), grey around it: [H, W, 3 or 1] uint8."""
    import numpy as np
    from PIL import Image

    height, width = size
    channels = len(picture.getbands())
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
    channels, first = pixels.shape[3], True
    if len(target.shape) == 3:
        pixels = pixels[0].transpose(2, 0, 1)
    elif target.shape[1] == channels:
        pixels = pixels.transpose(0, 3, 1, 2)
    else:
        first = False
    each = (-1, 1, 1) if first else (-1,)
    factor = np.asarray([normal.scale / s for s in normal.std], np.float32)[:channels]
    offset = np.asarray([-m / s for m, s in zip(normal.mean, normal.std, strict=True)], np.float32)[:channels]
    values = np.ascontiguousarray(pixels).astype(np.float32)  # a byte is moved faster than the number it becomes
    values *= factor.reshape(each)
    values += offset.reshape(each)
    return {name: values.astype(target.dtype.numpy_name, copy=False)}


def _require_room(signature: Signature, count: int, free: tuple[int, int]) -> None:
    """Refuse sizes that nobody meant before they fill the memory: what fills it may be killed without a word."""
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    for tensor in signature.inputs:
        shape = _concrete(tensor, free)
        size = math.prod(shape) * count * _LARGEST_ELEMENT
        if size > room:
            raise OutOfMemoryError(
                f"input {tensor.name} has shape {list(tensor.shape)}: {count} of them take up to {size / 2**30:,.0f} "
                "GiB, more than half of this machine's memory; lower --max-batch-size, or export with smaller sizes"
            )


def takes_frames(signature: Signature) -> bool:
    """Tell whether a model's only input is UINT8 pictures [N, H, W, 1 or 3]."""
    if len(signature.inputs) != 1:
        return False
    tensor = signature.inputs[0]
    return tensor.dtype is DataType.UINT8 and len(tensor.shape) == 4 and tensor.shape[3] in (1, 3)


def frame_size(frame: Tensor) -> tuple[int, int]:
    """Return height and width of the pictures [N, H, W, C] for a model; ours where it leaves them free."""
    _, height, width, _ = _concrete(frame, _FREE_IMAGE_SIZE)
    return height, width


def _concrete(tensor: Tensor, free: tuple[int, int]) -> tuple[int, ...]:
    """Return the shape with free dimensions filled in; the batch dimension is 1."""
    sizes = [1, *[_FREE_DIMENSION] * (len(tensor.shape) - 1)]
    if len(tensor.shape) == 4:  # NHWC or NCHW: three channels are not among what is free
        sizes = [1, *free, free[1]] if tensor.shape[3] in (1, 3) else [1, free[0], *free]
    return tuple(size if d == -1 else d for d, size in zip(tensor.shape, sizes, strict=False))
