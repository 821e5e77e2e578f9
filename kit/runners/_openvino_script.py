"""Runs a model with OpenVINO on the CPU; runs under the Python of the environment ``openvino``.

Compiled once for each size of batch that it is asked with, in the steps of Triton's backend for its one batch: so it
has the same kernels, and rounds the same way.
https://github.com/triton-inference-server/openvino_backend/blob/main/src/openvino.cc
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
"""So many sizes stay compiled."""


class _Loaded:
    model: Any = None
    properties: dict[str, Any]
    compiled: OrderedDict[Any, Any]
    dynamic: bool


def load(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``path`` and return the signature.

    ``precision`` is that of the arithmetic; nothing is OpenVINO's own choice. ``dynamic``: sizes stay variable.
    """
    import openvino

    try:
        _Loaded.model = openvino.Core().read_model(ask.data["path"])
    except RuntimeError as error:
        raise Refused(str(error).strip().splitlines()[-1]) from error
    given = {"INFERENCE_NUM_THREADS": ask.data["threads"], "INFERENCE_PRECISION_HINT": ask.data["precision"]}
    _Loaded.properties = {name: value for name, value in given.items() if value}
    _Loaded.compiled = OrderedDict()
    _Loaded.dynamic = ask.data["dynamic"]
    return {"inputs": _tensors(_Loaded.model.inputs), "outputs": _tensors(_Loaded.model.outputs)}, {}


def run(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the outputs by name."""
    try:
        request = _request(next(iter(ask.arrays.values())).shape[:1] if _batched() else ())
        results = request.infer(ask.arrays, share_inputs=True, share_outputs=True)
    except RuntimeError as error:
        raise Refused(str(error).strip().splitlines()[-1]) from error
    names = [port.get_any_name() for port in _Loaded.model.outputs]  # compiled, one may have those inside it as well
    return {}, {name: results[index] for index, name in enumerate(names)}


def _batched() -> bool:
    """Whether every input and output begins with a dimension of variable size, which the backend fixes."""
    ports = (*_Loaded.model.inputs, *_Loaded.model.outputs)
    shapes = [port.get_partial_shape() for port in ports]
    return not _Loaded.dynamic and all(shape.rank.get_length() and shape[0].is_dynamic for shape in shapes)


def _request(batch: tuple[int, ...]) -> Any:
    """Return the request for a size of batch; nothing is a model without."""
    import openvino

    found = _Loaded.compiled.pop(batch, None)
    if found is None:
        steps = openvino.preprocess.PrePostProcessor(_Loaded.model.clone())
        for index, port in enumerate(_Loaded.model.inputs):
            tensor = steps.input(index).tensor()
            tensor.set_element_type(port.get_element_type())
            if batch:
                tensor.set_layout(openvino.Layout("N..."))
        for index, port in enumerate(_Loaded.model.outputs):
            steps.output(index).tensor().set_element_type(port.get_element_type())
        model = steps.build()
        if batch:
            openvino.set_batch(model, batch[0])
        found = openvino.Core().compile_model(model, "CPU", _Loaded.properties).create_infer_request()
        while len(_Loaded.compiled) >= _MOST:
            _Loaded.compiled.popitem(last=False)
    _Loaded.compiled[batch] = found
    return found


def _tensors(ports: Any) -> list[list[Any]]:
    """Return name, numpy's name of the type and shape of each; -1 is a dimension of variable size."""
    return [
        [
            port.get_any_name(),
            port.get_element_type().to_dtype().name,
            [d.get_length() if d.is_static else -1 for d in port.get_partial_shape()],
        ]
        for port in ports
    ]
