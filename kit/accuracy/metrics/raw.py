"""Tensors of any meaning: how close they are to the FP32 model's. There is no truth to hold them against."""

from __future__ import annotations

from kit.accuracy.answers import Answers
from kit.accuracy.metrics._means import MeanTally
from kit.accuracy.metrics.interface import Tally
from kit.accuracy.types import Array, Arrays, Find
from kit.accuracy.validation import Validation

_MOST_NUMBERS = 4096
"""Of each output, evenly spread, so that memory holds all pictures: it is their direction that is compared."""


class Raw:
    """The least cosine of any output, picture by picture."""

    name = "raw"
    tools = ("numpy",)

    def require(self) -> None:
        """Nothing that the kit has not."""

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """Up to 4,096 numbers of each output."""
        return {name: _some(value[index]) for name, value in outputs.items() if value.dtype.kind in "fiub"}

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:  # noqa: ARG002
        """Compare with the reference model's outputs."""
        import numpy as np

        pairs = zip(answers.each(), (reference or answers).each(), strict=True)
        cosines = np.array([min((_cosine(a[n], b[n]) for n in b), default=1.0) for a, b in pairs])
        return MeanTally(names=("cosine",), labelled=False, values=cosines[:, None])

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:  # noqa: ARG002 (there is none)
        """The largest difference, relative to the largest number of its output."""
        import numpy as np

        worst = 0.0
        for name, value in first.items():
            wide = value.astype(np.float64)
            scale = max(float(np.abs(wide).max(initial=0.0)), 1e-12)
            worst = max(worst, float(np.abs(wide - second[name].astype(np.float64)).max(initial=0.0)) / scale)
        return min(worst, 1.0)

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:  # noqa: ARG002
        """Nothing: nobody knows what the numbers mean."""
        return ()

    def predictions(self, kept: Arrays) -> Arrays:
        """What is kept of each output."""
        return dict(kept)


def _some(value: Array) -> Array:
    import numpy as np

    flat = value.reshape(-1)
    chosen = flat if len(flat) <= _MOST_NUMBERS else flat[np.linspace(0, len(flat) - 1, _MOST_NUMBERS).astype(np.int64)]
    return np.nan_to_num(chosen.astype(np.float32))


def _cosine(first: Array, second: Array) -> float:
    import numpy as np

    a, b = first.astype(np.float64), second.astype(np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if length == 0:
        return float(np.array_equal(a, b))
    return float(a @ b) / length


MEMBER = Raw()
