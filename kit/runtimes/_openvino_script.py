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
    _name(model, ask.data["outputs"])
    _settle_ties(model)
    openvino.save_model(model, ask.data["xml"], compress_to_fp16=False)
    written = openvino.Core().read_model(ask.data["xml"])
    return {"inputs": _tensors(written.inputs), "outputs": _tensors(written.outputs)}, {}


def _name(model: Any, names: list[str]) -> None:
    """Give each output its one name. Two that are the same tensor would have both: one gets a tensor of its own."""
    from openvino import opset1

    seen = set()
    for result, name in zip(model.get_results(), names, strict=True):
        source = result.input_value(0)
        place = (source.get_node().get_friendly_name(), source.get_index())
        if place in seen or source.get_node().get_type_name() == "Parameter":
            copy = opset1.convert(source, source.get_element_type().get_type_name())
            result.input(0).replace_source_output(copy.output(0))
        seen.add(place)
        result.input_value(0).get_tensor().set_names({name})


_CANDIDATES = "/candidate_score"
"""Ends the name of what goes into NMS, in the graphs that the kit puts behind detectors (``kit.tasks``)."""


def _settle_ties(model: Any) -> None:
    """Let the lower index win where values are equal, as ONNX says; OpenVINO would leave it to chance.

    Equal scores are common: sigmoids that end at 1, and all that comes from 8 bits. A stable TopK compares each value
    with each that it keeps: 7 ms for the 1000 candidates of 2100 anchors. NMS does not ask for an order of its
    candidates by score: they are put into that of their places, which settles ties as well, in a tenth of the time.
    """
    for node in model.get_ops():
        if node.get_type_name() != "TopK" or node.get_attributes().get("sort") == "none":
            continue
        if any(name.endswith(_CANDIDATES) for name in node.output(0).get_names()):
            node.set_attribute("sort", "index")
        else:
            node.set_attribute("stable", True)


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
