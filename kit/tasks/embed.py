"""One picture, one point: ``embedding`` [N, D] FP32 of length 1, so that a dot product is the cosine."""

from __future__ import annotations

from kit import labels
from kit.tasks import _metadata, _vector
from kit.tasks._ending import Ending
from kit.tasks.interface import Arrays, Head
from kit.types import Certainty, Interpretation, Model, Normalization, Thresholds

_LEAST_LENGTH = 1e-12
"""A shorter vector is divided by this, as torch.nn.functional.normalize does."""

_NORMS = frozenset({Ending.BATCH_NORM, Ending.LAYER_NORM})
_LAST_LAYERS = frozenset({Ending.POOLING, Ending.ACTIVATION})
"""What stands before a classifier's last layer."""

_WORDS = frozenset({"embed", "embedding", "feature-extraction", "image-feature-extraction"})


class Embed:
    """One output of D numbers that are no class scores: brought to length 1, unless the network does that itself."""

    name = "embed"
    rank = 30
    frames = True
    # torchvision's, as for classifiers: most embeddings are classifiers without their last layer
    normalization = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    labelled = None
    inner = ()

    def recognise(self, model: Model) -> Head | None:
        """One float output of a vector for each picture, [N, D] or [N, D, 1, 1]."""
        vector = _vector.find(model)
        if vector is None or vector.size == 1:
            return None
        certainty, why = _judge(model, vector)
        if vector.found.ending is Ending.UNIT_LENGTH:
            head, kind = "normalised", f"of length 1 ({why})"
        else:
            head, kind = "features", f"of features ({why}), brought to length 1"
        return Head(
            name=head,
            class_count=None,
            reason=f"one output {vector.shape} {kind}",
            certainty=certainty,
            normalization=_metadata.normalization(model),
        )

    def expects(self) -> str:
        """One output of features."""
        return "one FP32 or FP16 output [N, features] or [N, features, 1, 1]"

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """Division by the length, or only the name."""
        if meaning.head == "normalised":
            return _vector.graph(model, "embed", "embedding", "embedding = Identity (flat)")
        steps = f"""
            axis = Constant <value = int64[1] {{1}}> ()
            squares = Mul (flat, flat)
            total = ReduceSum <keepdims = 1> (squares, axis)
            length = Sqrt (total)
            least = Constant <value = float {{{_LEAST_LENGTH!r}}}> ()
            divisor = Max (length, least)
            embedding = Div (flat, divisor)
        """
        return _vector.graph(model, "embed", "embedding", steps)

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Divide by the length in float64."""
        import numpy as np

        flat = _vector.flat(next(iter(raw.values())))
        if meaning.head == "normalised":
            return {"embedding": flat}
        wide = flat.astype(np.float64)
        length = np.linalg.norm(wide, axis=1, keepdims=True)
        return {"embedding": (wide / np.maximum(length, _LEAST_LENGTH)).astype(np.float32)}

    def thresholds(self, asked: Thresholds) -> None:  # noqa: ARG002
        """There are none."""
        return


def _judge(model: Model, vector: _vector.Vector) -> tuple[Certainty, str]:
    """Say how sure it is that a vector is an embedding, and by what."""
    ending, phrase = vector.found.ending, vector.found.phrase
    if model.metadata.get("task") in _WORDS:
        return Certainty.CERTAIN, "the metadata says so"
    if labels.from_metadata(model.metadata, vector.size) or vector.size < _vector.FEWEST_FEATURES:
        return Certainty.UNSURE, phrase
    if ending is Ending.UNIT_LENGTH:
        return Certainty.CERTAIN, phrase
    likely = ending in _NORMS or (ending in _LAST_LAYERS and vector.feature_like)
    return Certainty.LIKELY if likely else Certainty.UNSURE, phrase


MEMBER = Embed()
