"""One picture, its classes: ``probabilities`` [N, C] FP32; each row sums to 1, or each class is for itself."""

from __future__ import annotations

from kit import labels
from kit.errors import ParityError
from kit.tasks import _metadata, _vector
from kit.tasks._ending import Ending
from kit.tasks.interface import Arrays, Head
from kit.types import Certainty, Interpretation, Model, Normalization, Thresholds

_HEADS = {Ending.SOFTMAX: "probabilities", Ending.SIGMOID: "probabilities"}
_WORDS = frozenset({"classify", "image-classification"})
"""What exporters write under ``task`` in the metadata: Ultralytics, Hugging Face."""


class Classify:
    """One output of C scores: softmax is put into the graph, unless the scores are probabilities."""

    name = "classify"
    rank = 20
    frames = True
    # torchvision's: https://docs.pytorch.org/vision/stable/models.html
    normalization = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    labelled = "probabilities"
    inner = ()

    def recognise(self, model: Model) -> Head | None:
        """One float output of a vector for each picture, [N, C] or [N, C, 1, 1]; one class only behind a sigmoid."""
        vector = _vector.find(model)
        if vector is None or (vector.size == 1 and vector.found.ending is not Ending.SIGMOID):
            return None
        certainty, why = _judge(model, vector)
        head = _HEADS.get(vector.found.ending, "logits")
        kind = f"of {head} ({why})" if head == "probabilities" else f"of logits ({why}), softmax is added"
        reason = f"one output {vector.shape} {kind}"
        return Head(
            name=head,
            class_count=vector.size,
            reason=reason,
            certainty=certainty,
            normalization=_metadata.normalization(model),
        )

    def expects(self) -> str:
        """One output of class scores."""
        return "one FP32 or FP16 output [N, classes] or [N, classes, 1, 1]"

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """Softmax over the classes, or only the name."""
        operator = "Identity (flat)" if meaning.head == "probabilities" else "Softmax <axis = -1> (flat)"
        return _vector.graph(model, "classify", "probabilities", f"probabilities = {operator}")

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Softmax in float64. Raises ``ParityError`` where the scores are probabilities already."""
        import numpy as np

        scores = _vector.flat(next(iter(raw.values())))
        if meaning.head == "probabilities":
            return {"probabilities": scores}
        if scores.size and scores.min() >= 0 and np.allclose(scores.sum(axis=-1), 1, atol=1e-3):
            raise ParityError(
                "contract: every row of the network's output sums to 1, so it is probabilities already and a softmax "
                "would spoil it; serve it with --contract native"
            )
        shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
        powers = np.exp(shifted)
        return {"probabilities": (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)}

    def thresholds(self, asked: Thresholds) -> None:  # noqa: ARG002
        """A classifier gives every probability."""
        return


def _judge(model: Model, vector: _vector.Vector) -> tuple[Certainty, str]:
    """Say how sure it is that a vector is one of class scores, and by what."""
    ending, size = vector.found.ending, vector.size
    if labels.from_metadata(model.metadata, size):
        return Certainty.CERTAIN, f"{size} class names in the metadata"
    if model.metadata.get("task") in _WORDS:
        return Certainty.CERTAIN, "the metadata says so"
    if ending in (Ending.SOFTMAX, Ending.LOG_SOFTMAX):
        return Certainty.CERTAIN, vector.found.phrase
    if ending is Ending.SIGMOID or not vector.feature_like:
        unfit = ending in (Ending.UNIT_LENGTH, Ending.BATCH_NORM, Ending.LAYER_NORM) and size >= _vector.FEWEST_FEATURES
        return Certainty.UNSURE if unfit else Certainty.LIKELY, vector.found.phrase
    return Certainty.UNSURE, vector.found.phrase


MEMBER = Classify()
