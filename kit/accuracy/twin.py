"""A detector's twin for measuring: the same graph with its score threshold lowered, and nothing else changed.

Average precision is the area under a curve over all scores; what the served threshold cuts off is missing from it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import UnsupportedModelError
from kit.types import Interpretation, Model

if TYPE_CHECKING:
    import onnx

FLOOR = 0.001
"""The threshold at which detectors are evaluated: what Ultralytics' ``val`` takes too."""


def evaluation_twin(model: Model, meaning: Interpretation, folder: Path) -> Model:
    """Write the model with the Constant ``<task>/least`` at 0.001 into ``folder``; the model itself if it has none.

    NMS goes from the best score down, so above the served threshold both give the same rows. Raises
    ``UnsupportedModelError`` where a served detector has lost that Constant.
    """
    import onnx

    import kit.graph

    if meaning.contract != "served" or meaning.thresholds is None:
        return model
    proto = onnx.load(str(model.path))
    constant = _constant(proto, f"{meaning.task}/least")
    if constant is None:
        raise UnsupportedModelError(
            f"{model.path.name} has no {meaning.task}/least, its score threshold, so that its mAP cannot be measured; "
            "was it changed after kit generate?"
        )
    array = onnx.numpy_helper.to_array(constant)
    lowered = onnx.numpy_helper.from_array(array.dtype.type(min(FLOOR, float(array))).reshape(array.shape))
    lowered.name = constant.name
    constant.CopyFrom(lowered)
    path = folder / "model.onnx"
    return replace(model, path=path, digest=kit.graph.write(proto, path), notes=())


def served_threshold(path: Path, task: str) -> float | None:
    """Return the score threshold inside a served detector's ONNX file; None where there is none."""
    import onnx

    constant = _constant(onnx.load(str(path), load_external_data=False), f"{task}/least")
    return None if constant is None else float(onnx.numpy_helper.to_array(constant))


def _constant(proto: onnx.ModelProto, name: str) -> onnx.TensorProto | None:
    """Return a tensor by its name: a Constant's, or an initializer, which optimisers make of it."""
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.output[0] == name:
            return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
    return next((tensor for tensor in proto.graph.initializer if tensor.name == name), None)
