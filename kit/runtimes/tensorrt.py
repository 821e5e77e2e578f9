"""Triton's TensorRT backend: it loads an engine, which ``kit build`` makes on the device from the ONNX that is here.

Nothing is built where the model is generated: an engine belongs to the GPU and to the release of TensorRT that it was
built with. The ONNX is the one that was verified, in the operators that TensorRT has (``kit.engines.dialect``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import kit.graph
from kit.engines import dialect, versions
from kit.errors import StageError, UnsupportedModelError
from kit.targets.values import Target
from kit.types import Artifact, Model

if TYPE_CHECKING:
    import onnx


class TensorRt:
    """Serves an engine of each target, built there."""

    name = "tensorrt"
    title = "TensorRT"
    tools = ("onnx", "onnxruntime")

    def build(self, model: Model, target: Target, folder: Path) -> Artifact:
        """Write the ONNX that the target's engine is built from.

        Raises ``UnsupportedModelError`` where the target's TensorRT cannot read it, and ``StageError`` where it would
        answer otherwise.
        """
        import onnx

        version = target.stack.tensorrt_version
        if version is None:
            raise UnsupportedModelError(
                f"{target.name} names no TensorRT in its image: add stack.tensorrt_version, or give "
                "--runtime onnxruntime"
            )
        most = versions.of(version).max_opset
        if model.opset > most:
            raise UnsupportedModelError(
                f"{target.name} has TensorRT {version}, which reads opset {most}; the model has opset {model.opset}: "
                f"export it with opset_version={min(18, most)}"
            )
        proto = onnx.load(str(model.path))
        dialect.adapt(proto)
        _require_small_choices(proto)
        path = folder / "model.onnx"
        made = kit.graph.save(proto, path)
        if made.signature != model.signature:
            raise StageError("build tensorrt: the inputs or outputs changed; report this as a fault of the kit")
        return Artifact(
            backend=self.name,
            filename=path.name,
            path=path,
            digest=made.digest,
            signature=made.signature,
            engine=f"model.{target.name}.plan",
        )


def _require_small_choices(proto: onnx.ModelProto) -> None:
    """Refuse a TopK of more than TensorRT's takes."""
    from onnx import numpy_helper

    most = versions.facts().limits.top_k
    constants = {t.name: t for t in proto.graph.initializer}
    constants.update({n.output[0]: n.attribute[0].t for n in proto.graph.node if n.op_type == "Constant"})
    for node in proto.graph.node:
        if node.op_type != "TopK" or node.input[1] not in constants:
            continue
        count = int(numpy_helper.to_array(constants[node.input[1]]).item())
        if count > most:
            raise UnsupportedModelError(
                f"{node.name or node.output[0]} chooses the {count} best, and TensorRT's TopK gives at most {most}; "
                f"give --max-detections {most} or fewer, or use --runtime onnxruntime"
            )


MEMBER = TensorRt()
