"""A picture as a point: ``embedding`` [D] as ``kit generate`` serves it, or another model's vector on request."""

from __future__ import annotations

from kit.stream.decode.interface import IMAGENET, Arrays, Reading, Recognition, Shown
from kit.stream.results import Embedding

_SERVED = "embedding"


class Embed:
    """One vector with that name: any other is taken for a classifier's, which looks the same."""

    name = "embed"
    task = "embed"
    rank = 25

    def recognise(self, shown: Shown) -> Recognition | None:
        """By its name."""
        if [tensor.name for tensor in shown.outputs] != [_SERVED]:
            return None
        return Recognition(reason=f"output {_SERVED}", normalization=IMAGENET)

    def expects(self, head: str | None) -> str:  # noqa: ARG002
        """The name."""
        return f"one output {_SERVED}"

    def decode(self, arrays: Arrays, reading: Reading) -> Embedding:  # noqa: ARG002 (a picture has no place)
        """Return the vector as it is."""
        import numpy as np

        return Embedding(vector=arrays[_SERVED].astype(np.float32, copy=False).reshape(-1))


MEMBER = Embed()
