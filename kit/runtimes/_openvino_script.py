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

    Equal scores are common: sigmoids that end at 1, and all that comes from 8 bits. NMS does not ask for an order of
    its candidates by score: they are put into that of their places, which settles ties among them as well; which of
    those that equal the last goes into NMS is left to chance.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "TopK" or node.get_attributes()["sort"] == "none":
            continue
        if any(name.endswith(_CANDIDATES) for name in node.output(0).get_names()):
            node.set_attribute("sort", "index")
        elif (sizes := _sizes(node)) is not None:
            _choose_in_two_steps(node, *sizes)
        else:
            node.set_attribute("stable", True)


def _sizes(node: Any) -> tuple[int, int] | None:
    """Return how many a TopK chooses and of how many, where a stable one would be slow; None elsewhere."""
    shape, wanted = node.input(0).get_partial_shape(), node.input_value(1).get_node()
    axis = node.get_attributes()["axis"]
    if node.get_attributes()["mode"] != "max" or wanted.get_type_name() != "Constant" or shape[axis].is_dynamic:
        return None
    count, length = int(wanted.get_data().item()), shape[axis].get_length()
    return (count, length) if 1 < count < length < _MOST else None


_MOST = 1 << 30
"""Twice a place is an integer of 32 bits."""


def _choose_in_two_steps(node: Any, count: int, length: int) -> None:
    """Replace a TopK by others that give the same as a stable one, in a thirtieth of its time.

    A stable TopK compares each value with each that it keeps: 3.4 ms for 100 of 8400, 840 ms for 300 of 672,000. Here
    one that is not stable tells the least value that is chosen. Places become numbers without equals: those above come
    before those that equal it, and these before the rest. What is chosen by them is sorted stably, being few.
    """
    import numpy as np
    from openvino import opset14 as op

    given, attributes = node.input_value(0), node.get_attributes()
    axis, kind = attributes["axis"], attributes["index_element_type"]
    axis += given.get_partial_shape().rank.get_length() if axis < 0 else 0
    wanted = op.constant(np.int64(count))
    least = op.reduce_min(op.topk(given, wanted, axis, "max", "value").output(0), op.constant([axis]), True)
    place = np.arange(length, dtype=np.int32).reshape([-1 if i == axis else 1 for i in range(axis + 1)])
    place = place.reshape(*place.shape, *[1] * (given.get_partial_shape().rank.get_length() - axis - 1))
    rest = op.select(op.equal(given, least), op.constant(length - place), op.constant(-place))
    order = op.select(op.greater(given, least), op.constant(2 * length - place), rest)
    chosen = op.topk(order, wanted, axis, "max", "value", index_element_type=kind).output(1)
    values = op.gather_elements(given, chosen, axis)
    few = op.topk(values, wanted, axis, "max", "value", index_element_type=kind, stable=True)
    places = op.gather_elements(chosen, few.output(1), axis)
    for old, new in zip(node.outputs(), (few.output(0), places.output(0)), strict=True):
        names = old.get_tensor().get_names()
        old.replace(new)
        new.get_tensor().set_names(names)


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
