"""A picture as a point: ``embedding`` [D] as ``kit generate`` serves it, or another model's vector on request."""

from __future__ import annotations

from kit.stream.decode.interface import Arrays, Reading, Shown
from kit.stream.results import Embedding
from kit.types import Normalization

_SERVED = "embedding"


class Embed:
    """One vector with that name: any other is taken for a classifier's, which looks the same."""

    name = "embed"
    task = "embed"
    rank = 25
    # torchvision's: https://docs.pytorch.org/vision/stable/models.html
    normalization = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

    def recognise(self, shown: Shown) -> str | None:
        """By its name."""
        return f"output {_SERVED}" if [tensor.name for tensor in shown.outputs] == [_SERVED] else None

    def expects(self) -> str:
        """The name."""
        return f"one output {_SERVED}"

    def decode(self, arrays: Arrays, reading: Reading) -> Embedding:  # noqa: ARG002 (a picture has no place)
        """Return the vector as it is."""
        import numpy as np

        return Embedding(vector=arrays[_SERVED].astype(np.float32, copy=False).reshape(-1))


MEMBER = Embed()
