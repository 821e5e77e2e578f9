"""The example's detector, made so that INT8 breaks it: the same answers in FP32, and no room for them in 8 bits.

Trained networks with SiLU have such outliers by themselves. Here they are put into two blocks: one more channel of a
constant 2000, of which the next convolution takes a part and its bias takes that away again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

ONNX_PATH = Path(__file__).with_name("digits.onnx")
BLOCKS = ("backbone.stages.0.1", "backbone.stages.1.2")

_OUTLIER = 2000.0  # SiLU gives it back unchanged
_SHARE = 0.01


def collapsing(model: onnx.ModelProto, blocks: tuple[str, ...] = BLOCKS) -> onnx.ModelProto:
    """Return a copy of the detector with an outlier in the middle of each of these bottlenecks."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    for block in blocks:
        _widen(weights, f"{block}.body.0.0", f"{block}.body.1.0")
    del made.graph.value_info[:]  # they have the channels that there were
    onnx.checker.check_model(made, full_check=True)
    return made


def _widen(weights: dict[str, onnx.TensorProto], first: str, second: str) -> None:
    """Give a convolution one more channel, and let the next one take it away again."""
    narrow, bias = (_read(weights, f"{first}.{part}") for part in ("weight", "bias"))
    _write(weights, f"{first}.weight", np.concatenate([narrow, np.zeros_like(narrow[:1])]))
    _write(weights, f"{first}.bias", np.append(bias, _OUTLIER))
    wide, bias = (_read(weights, f"{second}.{part}") for part in ("weight", "bias"))
    taken = np.zeros_like(wide[:, :1])
    middle = wide.shape[2] // 2
    # In the middle of the kernel alone: at the picture's edge, the padding has no part in it.
    taken[:, 0, middle, middle] = _SHARE * np.where(np.arange(len(wide)) % 2, 1.0, -1.0)
    _write(weights, f"{second}.weight", np.concatenate([wide, taken], axis=1))
    _write(weights, f"{second}.bias", bias - _OUTLIER * taken[:, 0, middle, middle])


def _read(weights: dict[str, onnx.TensorProto], name: str) -> np.ndarray:
    return np.array(numpy_helper.to_array(weights[name]))


def _write(weights: dict[str, onnx.TensorProto], name: str, values: np.ndarray) -> None:
    weights[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def main() -> None:
    """Write the detector beside the example's."""
    path = ONNX_PATH.with_name("collapsing.onnx")
    onnx.save(collapsing(onnx.load(str(ONNX_PATH))), str(path))
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
