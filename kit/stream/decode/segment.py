"""A class for each pixel: a map of classes [H, W], or scores [C, H, W] of which the largest wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.stream.decode.interface import IMAGENET, Arrays, Reading, Recognition, Shown
from kit.stream.results import Segmentation
from kit.types import DataType, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MAP = frozenset({DataType.UINT8, DataType.INT32, DataType.INT64})
_BINARY = 0.5
_MOST_IN_UINT8 = 256
_SERVED = frozenset({"classes", "scores"})


class Segment:
    """One output as wide and high as the input, or a whole fraction of it; the kit's own may have any size."""

    name = "segment"
    task = "segment"
    rank = 40

    def recognise(self, shown: Shown) -> Recognition | None:
        """By its type and shape; a second output beside ``out`` is a training aid of torchvision's."""
        if not shown.outputs or (len(shown.outputs) > 1 and shown.outputs[0].name != "out"):
            return None
        first = shown.outputs[0]
        if not _is_map(first, shown):
            return None
        return Recognition(reason=f"output {first.name} {list(first.shape)}", normalization=IMAGENET)

    def expects(self, head: str | None) -> str:  # noqa: ARG002
        """One map."""
        return "one output [height, width] of classes or [classes, height, width] of scores"

    def decode(self, arrays: Arrays, reading: Reading) -> Segmentation:
        """Take the largest score, and cut off what was padded."""
        import numpy as np

        box, classes = reading.letterbox, _classes(next(iter(arrays.values())))
        smallest = np.uint8 if classes.dtype == np.uint8 else np.int32
        return Segmentation(
            classes=box.cut(classes).astype(smallest, copy=False),
            source_width=box.source_width,
            source_height=box.source_height,
        )


def _is_map(tensor: Tensor, shown: Shown) -> bool:
    if tensor.dtype in _MAP and len(tensor.shape) in (2, 3):
        squeezed = tensor.shape[1:] if len(tensor.shape) == 3 and tensor.shape[0] == 1 else tensor.shape
    elif tensor.dtype.is_float and len(tensor.shape) == 3:
        squeezed = tensor.shape[1:]
    else:
        return False
    return len(squeezed) == 2 and all(
        part > 1 and (tensor.name in _SERVED or whole % part == 0)
        for part, whole in zip(squeezed, (shown.height, shown.width), strict=True)
    )


def _classes(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return [h, w] of class indices; one channel of scores is a mask from 0.5 (a probability) or 0 (a logit) on."""
    import numpy as np

    classes: npt.NDArray[np.generic]
    if not np.issubdtype(values.dtype, np.floating):
        classes = values.reshape(values.shape[-2:])
    elif values.shape[0] == 1:
        scores = values[0].astype(np.float32, copy=False)
        probable = bool(scores.min() >= 0 and scores.max() <= 1)
        classes = (scores > (_BINARY if probable else 0)).astype(np.uint8)
    else:
        classes = values.argmax(axis=0).astype(np.uint8 if values.shape[0] <= _MOST_IN_UINT8 else np.int32)
    return classes


MEMBER = Segment()
