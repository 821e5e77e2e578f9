"""One picture, one class: ``probabilities`` [N, C] FP32, each row sums to 1."""

from __future__ import annotations

from kit.tasks.interface import Arrays, Head
from kit.types import DataType, Interpretation, Model, Normalization, Thresholds

_FEWEST_CLASSES = 2


class Classify:
    """One output [N, C] of scores: softmax is put into the graph, unless the scores are probabilities."""

    name = "classify"
    rank = 20
    frames = True
    # torchvision's: https://docs.pytorch.org/vision/stable/models.html
    normalization = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    labelled = "probabilities"

    def recognise(self, model: Model) -> Head | None:
        """One float output of two dimensions with at least two classes."""
        outputs = model.signature.outputs
        if len(outputs) != 1 or outputs[0].dtype is not DataType.FP32 or len(outputs[0].shape) != 2:
            return None
        classes = outputs[0].shape[1]
        if classes < _FEWEST_CLASSES:
            return None
        kind = "probabilities" if _ends_in_softmax(model) else "logits"
        return Head(name=kind, class_count=classes, reason=f"one output [N, {classes}] of {kind}")

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
        """Softmax in float64."""
        import numpy as np

        (scores,) = raw.values()
        if meaning.head == "probabilities":
            return {"probabilities": scores}
        shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
        powers = np.exp(shifted)
        return {"probabilities": (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)}

    def thresholds(self, asked: Thresholds) -> None:  # noqa: ARG002
        """A classifier gives every probability."""
        return


def _ends_in_softmax(model: Model) -> bool:
    """Tell whether the node that makes the output is a Softmax."""
    import onnx

    proto = onnx.load(str(model.path), load_external_data=False)
    output = proto.graph.output[0].name
    return any(node.op_type == "Softmax" and output in node.output for node in proto.graph.node)


MEMBER = Classify()
