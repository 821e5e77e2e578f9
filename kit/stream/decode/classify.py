"""Classes of a whole picture: ``probabilities`` [C] as ``kit generate`` serves them, or another model's scores."""

from __future__ import annotations

from kit.stream.decode.interface import IMAGENET, Arrays, Reading, Recognition, Shown
from kit.stream.results import Classification

_FEWEST_CLASSES = 2
_SERVED = "probabilities"


class Classify:
    """One vector."""

    name = "classify"
    task = "classify"
    rank = 30

    def recognise(self, shown: Shown) -> Recognition | None:
        """One float output of one dimension with at least two classes."""
        if len(shown.outputs) != 1 or not shown.outputs[0].dtype.is_float:
            return None
        shape = shown.outputs[0].shape
        if len(shape) != 1 or shape[0] < _FEWEST_CLASSES:
            return None
        return Recognition(reason=f"one output [{shape[0]}]", normalization=IMAGENET)

    def expects(self, head: str | None) -> str:  # noqa: ARG002
        """One vector."""
        return "one float output [classes]"

    def decode(self, arrays: Arrays, reading: Reading) -> Classification:  # noqa: ARG002 (a picture has no place)
        """Softmax over scores, unless they are probabilities already: by their name, or because they sum to 1."""
        import numpy as np

        ((name, values),) = arrays.items()
        scores = values.astype(np.float32).reshape(-1)
        if name == _SERVED or (scores.min() >= 0 and abs(float(scores.sum()) - 1) < 1e-3):
            return Classification(probabilities=scores)
        powers = np.exp(scores - scores.max())
        return Classification(probabilities=powers / powers.sum())


MEMBER = Classify()
