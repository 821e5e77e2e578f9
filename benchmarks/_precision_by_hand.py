"""What an engineer writes by hand to lower a detector's precision, for ``precision_by_hand.py``.

    python _precision_by_hand.py int8|fp16 model.onnx CALIBRATION TEST FOLDER

ONNX Runtime's own tools with its documentation's advice for CPUs: ``quant_pre_process``, then ``quantize_static`` per
channel, with ranges by MinMax of all calibration pictures, and what makes the predictions left in float; or its
``float16``. FP32 and the result are evaluated on the test set by pycocotools (the example's own ``evaluate``), a
config.pbtxt is written, and nothing is started. It knows one model, and has no budget for a class, no intervals, no
times and no second try. Prints a line of JSON.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from examples.digits import evaluate

PREDICTING = [f"node_conv2d_{number}" for number in (23, 25, 27, 29, 31, 33)]
"""Found by looking at the graph: the last convolutions of the head, boxes and classes at three scales."""

CONFIG = """
name: "by_hand"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: 4
input [ { name: "images" data_type: TYPE_FP32 dims: [ 3, 320, 320 ] } ]
output [ { name: "output0" data_type: TYPE_FP32 dims: [ 14, 2100 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Reads the calibration pictures one by one, as the network takes them."""

    def __init__(self, folder: Path) -> None:
        self._feeds = self._each(sorted(folder.glob("*.jpg")))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next picture, or None."""
        return next(self._feeds, None)

    @staticmethod
    def _each(files: list[Path]) -> Iterator[dict[str, Any]]:
        for file in files:
            pixels = np.asarray(Image.open(file).convert("RGB"), np.float32)
            yield {"images": np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]) / np.float32(255)}


def behind(model: onnx.ModelProto, names: list[str]) -> list[str]:
    """Return these nodes and all that need what they give."""
    found: list[str] = []
    reached: set[str] = set()
    for node in model.graph.node:
        if node.name in names or reached & set(node.input):
            found.append(node.name)
            reached |= set(node.output)
    return found


def int8(source: Path, calibration: Path, made: Path) -> None:
    """Quantise."""
    prepared = made.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)  # which fails on this graph
    quantize_static(
        str(prepared),
        str(made),
        Reader(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=behind(onnx.load(str(prepared)), PREDICTING),
    )
    prepared.unlink()


def fp16(source: Path, _: Path, made: Path) -> None:
    """Convert."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(str(source))
    for node in model.graph.node:  # two that share their scales give what ONNX Runtime does not load
        if node.op_type == "Resize":
            own = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[2])
            model.graph.initializer.add().CopyFrom(own)
            model.graph.initializer[-1].name = node.input[2] = f"{own.name}_of_{node.name}"
    onnx.save(convert_float_to_float16(model, keep_io_types=True), str(made))


def main() -> None:
    """Do it, and print what came of it."""
    logging.disable(logging.WARNING)
    lower = {"int8": int8, "fp16": fp16}[sys.argv[1]]
    source, calibration, test, folder = (Path(argument) for argument in sys.argv[2:])
    made = folder / "by_hand" / "1" / "model.onnx"
    made.parent.mkdir(parents=True)
    lower(source, calibration, made)
    quiet = Console(quiet=True)
    before, after = (evaluate.evaluate(evaluate.OnnxDetector(path), test, quiet).map50_95 for path in (source, made))
    (folder / "by_hand" / "config.pbtxt").write_text(CONFIG)
    print(json.dumps({"before": before, "after": after}))


if __name__ == "__main__":
    main()
