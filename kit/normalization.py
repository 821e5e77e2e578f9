"""What a model's metadata says of its pixels: the keys ``mean`` and ``std``, as a source that knows them wrote them."""

from __future__ import annotations

import ast

from kit.types import Model, Normalization

_LARGEST_OF_UNIT = 2


def of_metadata(model: Model) -> Normalization | None:
    """Return the normalisation that the metadata tells: lists of one number for each channel.

    They are of pixels / 255; where one is beyond 2, of pixels from 0 to 255. None where nothing is told, or nothing
    that makes sense.
    """
    mean, std = (_numbers(model.metadata.get(key, "")) for key in ("mean", "std"))
    if not mean or len(mean) != len(std) or not all(value > 0 for value in std):
        return None
    scale = 1.0 if max(*map(abs, mean), *std) > _LARGEST_OF_UNIT else Normalization().scale
    return Normalization(scale=scale, mean=mean, std=std)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval raises
        return ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, (int, float)) and abs(v) < 1e6 for v in value):
        return ()
    return tuple(float(v) for v in value)
