"""Runs a model with OpenVINO on the CPU; runs under the Python of the environment ``openvino``.

Compiled once for each set of shapes that it is asked with, as Triton's backend compiles it for its one batch.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused

_MOST = 4
"""So many sets of shapes stay compiled."""


class _Loaded:
    model: Any = None
    properties: dict[str, Any]
    compiled: OrderedDict[Any, Any]


def load(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``path``; ``precision`` is that of the arithmetic, nothing: OpenVINO's own choice. Return the signature."""
    import openvino

    try:
        _Loaded.model = openvino.Core().read_model(ask.data["path"])
    except RuntimeError as error:
        raise Refused(str(error).strip().splitlines()[-1]) from error
    given = {"INFERENCE_NUM_THREADS": ask.data["threads"], "INFERENCE_PRECISION_HINT": ask.data["precision"]}
    _Loaded.properties = {name: value for name, value in given.items() if value}
    _Loaded.compiled = OrderedDict()
    return {"inputs": _tensors(_Loaded.model.inputs), "outputs": _tensors(_Loaded.model.outputs)}, {}


def run(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the outputs by name."""
    shapes = tuple(sorted((name, value.shape) for name, value in ask.arrays.items()))
    try:
        request = _request(shapes)
        results = request.infer(ask.arrays, share_inputs=True, share_outputs=True)
    except RuntimeError as error:
        raise Refused(str(error).strip().splitlines()[-1]) from error
    return {}, {port.get_any_name(): results[port] for port in request.model_outputs}


def computed_in(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG001 (every function takes it)
    """Return the type that OpenVINO computes FP32 models in on this processor."""
    import openvino

    core = openvino.Core()
    return {"type": core.get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()}, {}


def _request(shapes: Any) -> Any:
    import openvino

    found = _Loaded.compiled.pop(shapes, None)
    if found is None:
        model = _Loaded.model.clone()
        model.reshape({name: openvino.PartialShape(list(shape)) for name, shape in shapes})
        found = openvino.Core().compile_model(model, "CPU", _Loaded.properties).create_infer_request()
        while len(_Loaded.compiled) >= _MOST:
            _Loaded.compiled.popitem(last=False)
    _Loaded.compiled[shapes] = found
    return found


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
