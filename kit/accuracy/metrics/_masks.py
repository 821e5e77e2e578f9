"""Marked masks, brought to the size of what a network gives."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.accuracy.metrics._boxes import letterbox
from kit.accuracy.types import Array, Arrays, Ints, Objects, Outline
from kit.errors import ValidationSetError
from kit.stream.letterbox import Letterbox

IGNORED = 255
"""In a PNG of class indices: not marked, as in Pascal VOC."""


def read(path: Path, frame: tuple[int, int], size: tuple[int, ...], count: int) -> Ints:
    """Return a mask's class of each pixel of a map over the frame: [h, w] of ``size``; -1 for not marked.

    Raises ``ValidationSetError`` where a pixel has a class that there is not.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as file:
            mask = np.asarray(file if file.mode in ("P", "L", "I", "I;16", "1") else file.convert("L")).astype(np.int64)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValidationSetError(f"{path} is no mask that can be read: {error}") from error
    lit = np.where(mask == IGNORED, 1, mask) if count == 2 and set(np.unique(mask)) <= {0, IGNORED} else mask
    beyond = lit[(lit >= count) & (lit != IGNORED)]
    if len(beyond):
        raise ValidationSetError(
            f"{path}: a pixel has class {beyond[0]}, the model has 0 to {count - 1}; masks are PNG files of class "
            f"indices, {IGNORED} for what is not marked"
        )
    known = np.where(lit == IGNORED, -1, lit)
    return sampled(known, letterbox((mask.shape[0], mask.shape[1]), frame), frame, size, outside=-1)


def sampled(mask: Ints, box: Letterbox, frame: tuple[int, int], size: tuple[int, ...], outside: int) -> Ints:
    """Return what lies in a mask [H, W] of the picture's file under the middle of each pixel of a map of ``size``."""
    import numpy as np

    rows = ((np.arange(size[0]) + 0.5) * frame[0] / size[0] - box.offset[1]) * box.source_height / box.size[1]
    columns = ((np.arange(size[1]) + 0.5) * frame[1] / size[1] - box.offset[0]) * box.source_width / box.size[0]
    down, across = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    inside = ((down >= 0) & (down < mask.shape[0]))[:, None] & ((across >= 0) & (across < mask.shape[1]))[None, :]
    taken = mask[np.clip(down, 0, mask.shape[0] - 1)][:, np.clip(across, 0, mask.shape[1] - 1)]
    return np.where(inside, taken, outside)


def pack(masks: Array) -> Arrays:
    """Return masks [K, h, w] as bytes with their size."""
    import numpy as np

    packed = zlib.compress(np.packbits(masks.astype(bool)).tobytes(), 1)
    return {"packed": np.frombuffer(packed, np.uint8), "size": np.array(masks.shape, np.int64)}


def unpack(kept: Arrays) -> Array:
    """Return the masks [K, h, w] that ``pack`` packed."""
    import numpy as np

    count, height, width = (int(side) for side in kept["size"])
    bits = np.unpackbits(
        np.frombuffer(zlib.decompress(kept["packed"].tobytes()), np.uint8), count=count * height * width
    )
    return bits.reshape(count, height, width)


def lengths(masks: Array) -> list[Any]:
    """Return COCO's run lengths of masks [K, h, w]."""
    import numpy as np
    from pycocotools import mask

    found: list[Any] = mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))) if len(masks) else []
    return found


def outlined(objects: Objects, source: tuple[int, int], frame: tuple[int, int], size: tuple[int, int]) -> list[Any]:
    """Return COCO's run lengths of what is marked in a picture of ``source`` pixels, at the size of the masks."""
    box = letterbox(source, frame)
    return [_lengths(o, b, box, frame, size) for o, b in zip(objects.outlines, objects.boxes.tolist(), strict=True)]


def _lengths(
    outline: Outline, corners: Sequence[float], box: Letterbox, frame: tuple[int, int], size: tuple[int, int]
) -> Any:
    import numpy as np
    from pycocotools import mask

    if outline.counts:
        whole = _decoded(outline, (box.source_height, box.source_width))
        return lengths(sampled(whole, box, frame, size, outside=0)[None])[0]
    x1, y1, x2, y2 = corners
    polygons = outline.polygons or ((x1, y1, x2, y1, x2, y2, x1, y2),)
    scale = np.array([box.size[0] / box.source_width, box.size[1] / box.source_height])
    grid = np.array([size[1] / frame[1], size[0] / frame[0]])
    moved = [((np.array(p).reshape(-1, 2) * scale + box.offset) * grid).ravel().tolist() for p in polygons]
    return mask.merge(mask.frPyObjects(moved, size[0], size[1]))


def nothing(size: tuple[int, int]) -> Any:
    """Return COCO's run lengths of a mask without a pixel: of an object whose outline nobody drew."""
    import numpy as np

    return lengths(np.zeros((1, *size), np.uint8))[0]


def unrolled(compressed: Any) -> Ints:
    """Return the mask [H, W] of COCO's compressed run lengths."""
    import numpy as np
    from pycocotools import mask

    with warnings.catch_warnings():  # pycocotools 2.0.11 asks numpy 2 in the old way
        warnings.simplefilter("ignore", DeprecationWarning)
        whole: Array = mask.decode(compressed)
    return whole.astype(np.int64)


def _decoded(outline: Outline, size: tuple[int, int]) -> Ints:
    """Return the mask [H, W] of run lengths. Raises ``ValidationSetError`` where they are not of this picture."""
    import numpy as np

    counts = outline.counts
    if isinstance(counts, str):
        return unrolled({"size": list(size), "counts": counts})
    if sum(counts) != size[0] * size[1]:
        raise ValidationSetError(
            f"an object's run lengths are of {sum(counts)} pixels, its picture has {size[1]}x{size[0]}; was it scaled?"
        )
    columns: Ints = np.repeat(np.arange(len(counts)) % 2, counts).reshape(size[1], size[0])
    upright: Ints = columns.T
    return upright
