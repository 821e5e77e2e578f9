"""Triton's ONNX Runtime backend: it loads the ONNX file itself, on the CPU and through its accelerators."""

from __future__ import annotations

from pathlib import Path

from kit.errors import UnsupportedModelError
from kit.graph import unchanged
from kit.targets.values import Target
from kit.types import Artifact, Model


class OnnxRuntime:
    """Serves the same file on every target."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    tools = ()

    def build(self, model: Model, target: Target, folder: Path) -> Artifact:
        """Return the model's file, if the ONNX Runtime in the target's image is new enough for it."""
        stack = target.stack
        if model.opset > stack.max_opset or model.ir_version > stack.max_ir_version:
            raise UnsupportedModelError(
                f"{target.name} has ONNX Runtime {stack.onnxruntime_version}, which reads opset {stack.max_opset} and "
                f"IR {stack.max_ir_version}; the model has opset {model.opset} and IR {model.ir_version}: "
                f"export it with opset_version={min(18, stack.max_opset)}"
            )
        return Artifact(
            backend=self.name,
            filename="model.onnx",
            path=unchanged(model, folder).path,
            digest=model.digest,
            signature=model.signature,
        )


MEMBER = OnnxRuntime()
