"""One point for a picture: whether the same pictures stay close to each other, or those of one class do."""

from __future__ import annotations

from kit.accuracy.answers import Answers
from kit.accuracy.metrics._means import MeanTally
from kit.accuracy.metrics.interface import Tally
from kit.accuracy.types import Arrays, Find, Floats, Ints
from kit.accuracy.validation import Validation

_NEIGHBOURS = 10
_PICTURES_PER_NEIGHBOUR = 5
"""In a small set a picture has fewer neighbours that count: a tenth of all would be near by chance."""

_AT_A_TIME = 512


class Embed:
    """With folders as classes: is the nearest other picture of the same class? Else: are the neighbours the same?"""

    name = "embed"
    tools = ("numpy",)

    def require(self) -> None:
        """Nothing that the kit has not."""

    def keep(self, outputs: Arrays, index: int) -> Arrays:
        """``embedding`` [D]."""
        import numpy as np

        return {"embedding": np.nan_to_num(outputs["embedding"][index].astype(np.float32))}

    def tally(self, answers: Answers, validation: Validation, reference: Answers | None) -> Tally:
        """Compare each picture with all others; the cosine is that with the reference model's point."""
        import numpy as np

        points, known = _rows(answers), _rows(reference or answers)
        if validation.truth is not None:
            classes = np.array([one for one in validation.truth if isinstance(one, int)], np.int64)
            right = (classes[_nearest(points, 1)[:, 0]] == classes).astype(np.float64)
            return MeanTally(
                names=("retrieval top-1",), labelled=True, values=right[:, None], of_class=classes,
                count=max(validation.class_count or 0, validation.most_classes),
            )  # fmt: skip
        wanted = max(1, min(_NEIGHBOURS, len(points) // _PICTURES_PER_NEIGHBOUR))
        own, others = _nearest(points, wanted), _nearest(known, wanted)
        kept = (own[:, :, None] == others[:, None, :]).any(axis=2).mean(axis=1)
        cosine = np.einsum("ij,ij->i", points, known)
        return MeanTally(names=("neighbours", "cosine"), labelled=False, values=np.column_stack([kept, cosine]))

    def apart(self, first: Arrays, second: Arrays, threshold: float) -> float:  # noqa: ARG002 (there is none)
        """Half of one minus the cosine."""
        import numpy as np

        a, b = (one["embedding"].astype(np.float64) for one in (first, second))
        length = float(np.linalg.norm(a) * np.linalg.norm(b))
        return 0.0 if np.array_equal(a, b) else (1 - float(a @ b) / length) / 2 if length else 1.0

    def shown(self, kept: Arrays, threshold: float) -> tuple[Find, ...]:  # noqa: ARG002
        """Nothing: a point has no picture."""
        return ()

    def predictions(self, kept: Arrays) -> Arrays:
        """``embedding`` [D]."""
        return dict(kept)


def _rows(answers: Answers) -> Floats:
    """Return [N, D] points of length 1."""
    import numpy as np

    points = answers.columns["embedding"].reshape(len(answers), -1).astype(np.float64)
    length: Floats = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return length


def _nearest(points: Floats, count: int) -> Ints:
    """Return [N, count] the nearest other points of each, a block of rows at a time."""
    import numpy as np

    found = []
    for at in range(0, len(points), _AT_A_TIME):
        near = points[at : at + _AT_A_TIME] @ points.T
        near[np.arange(len(near)), at + np.arange(len(near))] = -np.inf
        found.append(np.argsort(-near, axis=1, kind="stable")[:, :count])
    return np.concatenate(found)


MEMBER = Embed()
