"""Outputs of one vector for each picture: a classifier's scores and an embedding have the same form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.tasks import _ending
from kit.types import DataType, Model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FEWEST_FEATURES = 16
"""Embeddings have more numbers than this; the smallest in use has 64."""

_FEATURE_STEP = 64
"""Widths of layers are multiples of this; counts of classes rarely are."""

_ELEMENTS = {DataType.FP32: "float", DataType.FP16: "float16"}
_RANKS = (2, 4)


@dataclass(frozen=True, kw_only=True)
class Vector:
    """The only output: ``size`` numbers for each picture, and how they were made."""

    size: int
    shape: str
    found: _ending.Found

    @property
    def feature_like(self) -> bool:
        """Whether the size is one that layers have."""
        return self.size % _FEATURE_STEP == 0


def find(model: Model) -> Vector | None:
    """Return the model's vector; None where it has several outputs, or one of another form."""
    outputs = model.signature.outputs
    if len(outputs) != 1 or outputs[0].dtype not in _ELEMENTS or len(outputs[0].shape) not in _RANKS:
        return None
    rest = outputs[0].shape[1:]
    long = [size for size in rest if size != 1]
    if -1 in long or len(long) > 1 or (len(rest) == 3 and rest[1] != 1):  # [N, C, 1, 1] or [N, 1, 1, C]
        return None
    shape = ", ".join(map(str, rest))
    return Vector(size=long[0] if long else 1, shape=f"[N, {shape}]", found=_ending.of(model))


def graph(model: Model, name: str, output: str, steps: str) -> str:
    """Return post-processing as ONNX text: ``flat`` [batch, size] FP32 to ``output`` of the same shape by ``steps``."""
    tensor = model.signature.outputs[0]
    element, rest = _ELEMENTS[tensor.dtype], ", ".join(map(str, tensor.shape[1:]))
    size = max(tensor.shape[1:])
    flatten = "floats = Cast <to = 1> (raw)\n flat = Flatten <axis = 1> (floats)"
    return f"""
        <ir_version: {model.ir_version}, opset_import: ["": {model.opset}]>
        {name} ({element}[batch, {rest}] raw) => (float[batch, {size}] {output})
        {{ {flatten} {steps} }}
    """


def flat(raw: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return the output as [N, size] FP32."""
    import numpy as np

    return raw.astype(np.float32).reshape(len(raw), -1)
