"""What is sent: pictures of a folder, or values by the model's metadata; made once, sent many times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit import inputs
from kit.errors import InputsError, LoadError, ModelContractError
from kit.load.values import ModelShare
from kit.types import DataType, Signature, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Feed: TypeAlias = "dict[str, npt.NDArray[np.generic]]"

MOST_FEEDS = 16
"""Different requests for each model: enough that no cache answers, few enough to be held encoded."""


def feeds(
    signature: Signature, share: ModelShare, images: str | None, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Feed, ...]:
    """Return the inputs of different requests, by name.

    Raises ``InputsError`` for pictures that cannot be read or sent, ``ModelContractError`` for a batch or a type that
    the model or numpy does not have, ``LoadError`` for a shape that does not fit.
    """
    signature = _shaped(signature, shapes)
    if share.batch > 1 and not signature.batched:
        raise ModelContractError(f"{share.name} takes no batches; leave out --batch {share.batch}")
    if any(tensor.dtype is DataType.BF16 for tensor in signature.inputs):
        raise ModelContractError(f"{share.name} takes BF16, which numpy cannot make; load a model with FP32 inputs")
    if images is None:
        return ({tensor.name: inputs.random(tensor, share.batch) for tensor in signature.inputs},)
    return _pictures(signature, share, Path(images))


def _pictures(signature: Signature, share: ModelShare, folder: Path) -> tuple[Feed, ...]:
    import numpy as np

    paths = inputs.images_in(folder)
    if not inputs.takes_frames(signature):
        raise InputsError(
            f"pictures are sent to models with one input of UINT8 [N, H, W, 3], which {share.name} has not; "
            "leave out --images, and random values are sent"
        )
    frame = signature.inputs[0]
    size, channels = inputs.frame_size(frame), frame.shape[3]
    count = min(MOST_FEEDS, max(1, len(paths) // share.batch))
    spread = [paths[number * len(paths) // (count * share.batch)] for number in range(count * share.batch)]
    read = [inputs.read_image(path, size, channels) for path in spread]
    return tuple({frame.name: np.stack(read[n * share.batch : (n + 1) * share.batch])} for n in range(count))


def _shaped(signature: Signature, shapes: Mapping[str, tuple[int, ...]]) -> Signature:
    """Return the signature with the sizes that a user gave."""
    return replace(signature, inputs=tuple(_sized(tensor, shapes.get(tensor.name)) for tensor in signature.inputs))


def _sized(tensor: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    if shape is None:
        return tensor
    for taken in (shape, (tensor.shape[0], *shape)) if tensor.shape[:1] == (-1,) else (shape,):
        fits = len(taken) == len(tensor.shape) and all(
            want in (-1, given) for want, given in zip(tensor.shape, taken, strict=True)
        )
        if fits:
            return replace(tensor, shape=taken)
    own = ", ".join(str(size) for size in tensor.shape)
    raise LoadError(f"{tensor.name} takes [{own}], not {list(shape)}; -1 may be any size, and the batch is --batch's")
