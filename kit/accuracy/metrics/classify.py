"""One class for a picture: how often the best one is right (top-1), or one of the best five (top-5)."""

from __future__ import annotations

from kit.accuracy.answers import Answers
from kit.accuracy.metrics._means import MeanTally
from kit.accuracy.metrics.interface import Objects, Tally
from kit.accuracy.types import Arrays, Find, Floats
from kit.accuracy.validation import Validation

_FIVE = 5


class Classify:
    """All probabilities are kept; a class's own number is how many of its pictures are recognised."""

    name = "classify"
    tools = ("numpy",)

    def require(self) -> None:
        """Nothing that the kit has not."""

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """``probabilities`` [C]."""
        import numpy as np

        return {"probabilities": np.nan_to_num(outputs["probabilities"][index].astype(np.float32))}

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
        """Count what is right, by the labels or by the reference model's best class."""
        import numpy as np

        given = _rows(answers)
        if validation.truth is None:
            right = np.argmax(_rows(reference or answers), axis=1)
        else:
            right = np.array([one for one in validation.truth if isinstance(one, int)], np.int64)
        first = np.argmax(given, axis=1) == right
        own = np.take_along_axis(given, right[:, None], axis=1)
        among = ((given > own).sum(axis=1) < _FIVE).astype(np.float64)
        many = given.shape[1] > _FIVE
        return MeanTally(
            names=("top-1", "top-5") if many else ("top-1",),
            labelled=validation.truth is not None,
            values=np.column_stack([first.astype(np.float64), *([among] if many else [])]),
            of_class=right,
            count=given.shape[1],
            objects=Objects(scores=np.where(first, own[:, 0], 0.0).astype(np.float64), false_alarms=np.zeros(0)),
        )

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:  # noqa: ARG002 (there is none)
        """The largest difference of a probability."""
        import numpy as np

        a, b = (one["probabilities"].astype(np.float64) for one in (first, second))
        return float(np.abs(a - b).max(initial=0.0))

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:  # noqa: ARG002
        """The best three classes."""
        import numpy as np

        values = kept["probabilities"].astype(np.float64)
        best = np.argsort(-values, kind="stable")[:3]
        return tuple(Find(name=str(index), index=int(index), score=float(values[index])) for index in best)

    def predictions(self, kept: Arrays) -> Arrays:
        """``probabilities`` [C]."""
        return dict(kept)


def _rows(answers: Answers) -> Floats:
    import numpy as np

    return answers.columns["probabilities"].reshape(len(answers), -1).astype(np.float64)


MEMBER = Classify()
