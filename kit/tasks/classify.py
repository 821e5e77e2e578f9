"""One picture, one class: ``probabilities`` [N, C] FP32, each row sums to 1."""

from __future__ import annotations

from kit.errors import ParityError
from kit.tasks.interface import Arrays, Head
from kit.types import DataType, Interpretation, Model, Normalization, Thresholds

_FEWEST_CLASSES = 2
_PROBABILITIES = frozenset({"Softmax", "Sigmoid"})
_FORM_ONLY = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


class Classify:
    """One output [N, C] of scores: softmax is put into the graph, unless the scores are probabilities."""

    name = "classify"
    rank = 20
    frames = True
    # torchvision's: https://docs.pytorch.org/vision/stable/models.html
    normalization = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    labelled = "probabilities"
    inner = ()

    def recognise(self, model: Model) -> Head | None:
        """One float output of two dimensions with at least two classes."""
        outputs = model.signature.outputs
        if len(outputs) != 1 or outputs[0].dtype is not DataType.FP32 or len(outputs[0].shape) != 2:
            return None
        classes = outputs[0].shape[1]
        if classes < _FEWEST_CLASSES:
            return None
        last = _last_operator(model)
        if last in _PROBABILITIES:
            reason = f"one output [N, {classes}] of probabilities ({last})"
            return Head(name="probabilities", class_count=classes, reason=reason)
        return Head(name="logits", class_count=classes, reason=f"one output [N, {classes}] of logits, softmax is added")

    def expects(self) -> str:
        """One output of class scores."""
        return "one FP32 output [N, classes]"

    def head_graph(self, model: Model, meaning: Interpretation) -> str:
        """Softmax over the classes, or only the name."""
        operator = "Identity (scores)" if meaning.head == "probabilities" else "Softmax <axis = -1> (scores)"
        return f"""
            <ir_version: {model.ir_version}, opset_import: ["": {model.opset}]>
            classify (float[batch, {meaning.class_count}] scores) => (float[batch, {meaning.class_count}] probabilities)
            {{ probabilities = {operator} }}
        """

    def reference(self, raw: Arrays, meaning: Interpretation) -> Arrays:
        """Softmax in float64. Raises ``ParityError`` where the scores are probabilities already."""
        import numpy as np

        (scores,) = raw.values()
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


def _last_operator(model: Model) -> str:
    """Return the operator that makes the output's numbers, behind those that only change its form."""
    import onnx

    proto = onnx.load(str(model.path), load_external_data=False)
    makers = {name: node for node in proto.graph.node for name in node.output}
    name = proto.graph.output[0].name
    while name in makers and makers[name].op_type in _FORM_ONLY:
        name = makers[name].input[0]
    return makers[name].op_type if name in makers else ""


MEMBER = Classify()
