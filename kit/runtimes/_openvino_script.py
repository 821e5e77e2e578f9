"""Turns ONNX into OpenVINO's IR; runs under the Python of the environment ``openvino``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused


def convert(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write ``xml`` and the ``.bin`` beside it from ``onnx``; return what the IR takes and gives.

    Weights keep the type that they have in the graph: ``save_model`` would make all of them FP16.
    """
    import openvino

    try:
        model = openvino.Core().read_model(ask.data["onnx"])
    except RuntimeError as error:
        raise Refused(_reason(str(error))) from error
    for port, name in zip(model.outputs, ask.data["outputs"], strict=True):
        port.get_tensor().set_names({name})
    openvino.save_model(model, ask.data["xml"], compress_to_fp16=False)
    written = openvino.Core().read_model(ask.data["xml"])
    return {"inputs": _tensors(written.inputs), "outputs": _tensors(written.outputs)}, {}


def _tensors(ports: Any) -> list[list[Any]]:
    """Return name, element type and shape of each; -1 is a dimension of variable size."""
    return [
        [
            port.get_any_name(),
            port.get_element_type().get_type_name(),
            [d.get_length() if d.is_static else -1 for d in port.get_partial_shape()],
        ]
        for port in ports
    ]


def _reason(text: str) -> str:
    """Return what OpenVINO's message says, without the places in its source that it was said at."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not re.search(r"^(Exception from|Check ')|\.[ch]pp:\d+|^FrontEnd API", line)]
    return " ".join(telling or lines)[:300]
