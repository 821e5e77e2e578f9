"""Triton's backend ``openvino`` as a Python-based backend, on OpenVINO's CPU device.

It reads what the real one reads and refuses what the real one refuses, in its words (``shared.contract``);
source: https://github.com/triton-inference-server/openvino_backend/blob/main/src/openvino.cc
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openvino
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # exists in Triton's stub only

if TYPE_CHECKING:
    from kit.server.backends.shared import contract
    from kit.server.backends.shared.batching import Executor
    from kit.server.backends.shared.contract import Config, Refused, Signature, TensorInfo
    from kit.server.backends.shared.failures import one_line_errors
else:
    from shared import contract
    from shared.batching import Executor
    from shared.contract import Refused, Signature, TensorInfo
    from shared.failures import one_line_errors

DTYPES = {
    "boolean": "BOOL",
    "u8": "UINT8",
    "u16": "UINT16",
    "u32": "UINT32",
    "u64": "UINT64",
    "i8": "INT8",
    "i16": "INT16",
    "i32": "INT32",
    "i64": "INT64",
    "f16": "FP16",
    "f32": "FP32",
}
_ELEMENTS = {f"TYPE_{dtype}": getattr(openvino.Type, name) for name, dtype in DTYPES.items()}
_PERFORMANCE_HINTS = ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")


class TritonPythonModel:
    """What Triton calls: one object for each instance of a model."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in what the configuration leaves out; only a model with a layout is known to batch."""
        config = auto_complete_model_config.as_dict()
        if not (config["input"] and config["output"]):
            with one_line_errors():
                model = _read(config, Path(pb.get_model_dir()))
                layouts = [openvino.layout_helpers.get_layout(port) for port in (*model.inputs, *model.outputs)]
                may_batch = all(openvino.layout_helpers.has_batch(layout) for layout in layouts)
                contract.complete(
                    auto_complete_model_config, _signature(model), may_batch=may_batch or bool(config["max_batch_size"])
                )
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model. Raises ``TritonModelException`` with one line: Triton's own, where Triton has one."""
        with one_line_errors():
            config = json.loads(args["model_config"])
            if args["model_instance_kind"] != "CPU":
                raise Refused(
                    f"unable to load model '{config['name']}', Triton OpenVINO backend supports only Kind CPU and AUTO"
                )
            model = _read(config, Path(args["model_repository"], args["model_version"]))
            contract.check_inputs(config, _signature(model), contract.OPENVINO)
            model = _converted(model, config)
            signature = _signature(model)
            contract.check_outputs(config, signature, contract.OPENVINO)
            batch = int(config["max_batch_size"])
            pads = contract.parameter(config, "ENABLE_BATCH_PADDING").lower() == "yes"
            compiled = openvino.Core().compile_model(model, "CPU", _properties(config))
            run = _Run(compiled, signature, expected_batch=0 if pads else batch)
            self._executor = Executor(config, signature, run, pad_to=batch if pads and batch else None)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, one response for each."""
        return self._executor.execute(requests)


class _Run:
    """Runs the compiled model; its batch is fixed, and other batches are refused as the real backend does."""

    def __init__(self, compiled: Any, signature: Signature, *, expected_batch: int) -> None:
        self._request = compiled.create_infer_request()
        self._ports = {t.name: compiled.output(t.name) for t in signature.outputs}
        self._expected_batch = expected_batch

    def __call__(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        got = next(iter(feeds.values())).shape[0] if self._expected_batch else 0
        if got != self._expected_batch:
            raise ValueError(
                f"expected requests with batch size '{self._expected_batch}', got '{got}'... this error can be avoided "
                "by setting 'ENABLE_BATCH_PADDING' parameter in model configuration to 'YES' at a performance cost."
            )
        # Inputs are not copied; outputs are, since the next batch of the same call would overwrite them.
        results = self._request.infer(feeds, share_inputs=True, share_outputs=False)
        return [results[self._ports[name]] for name in names]


def _read(config: Config, folder: Path) -> Any:
    path = folder / (config.get("default_model_filename") or "model.xml")
    if not path.exists():
        raise Refused(f"unable to find '{path}' for model '{config['name']}'")
    return openvino.Core().read_model(path)


def _converted(model: Any, config: Config) -> Any:
    """Give the model the configured types, shapes where that is asked for, and its one batch size."""
    batch = int(config["max_batch_size"])
    steps = openvino.preprocess.PrePostProcessor(model)
    outputs = {port.get_any_name() for port in model.outputs}
    for tensor in config.get("input", ()):
        step = steps.input(tensor["name"]).tensor()
        step.set_element_type(_ELEMENTS[tensor["data_type"]])
        if contract.parameter(config, "RESHAPE_IO_LAYERS").lower() == "yes":
            step.set_shape([*([-1] if batch else []), *contract.config_dims(tensor)])
        if batch:
            step.set_layout(openvino.Layout("N..."))
    for tensor in config.get("output", ()):
        if tensor["name"] in outputs and tensor["data_type"] in _ELEMENTS:  # others are refused by the check to come
            steps.output(tensor["name"]).tensor().set_element_type(_ELEMENTS[tensor["data_type"]])
    model = steps.build()
    if batch:
        openvino.set_batch(model, batch)
    return model


def _properties(config: Config) -> dict[str, Any]:
    device = contract.parameter(config, "TARGET_DEVICE", "CPU").upper()
    if device != "CPU":
        raise Refused(
            f"model '{config['name']}' asks for the device '{device}' and the embedded server runs OpenVINO on the CPU "
            "only; serve it with --engine docker"
        )
    properties: dict[str, Any] = {}
    for name in ("INFERENCE_NUM_THREADS", "COMPILATION_NUM_THREADS"):
        value = contract.parameter(config, name)
        if value and not value.isdigit():
            raise Refused(f"expected the parameter '{name}' to be a non-negative number, got {value.lower()}")
        if value:
            properties[name] = int(value)
    _choose(config, properties, "HINT_BF16", "INFERENCE_PRECISION_HINT", {"YES": "bf16"}, "YES")
    hints = {hint: hint for hint in _PERFORMANCE_HINTS}
    _choose(config, properties, "PERFORMANCE_HINT", "PERFORMANCE_HINT", hints, "/".join(hints))
    streams = contract.parameter(config, "NUM_STREAMS").upper()
    if streams and streams not in ("AUTO", "NUMA") and not streams.isdigit():
        raise Refused(f"expected the parameter 'NUM_STREAMS' to be either AUTO/NUMA/<int_value>, got {streams.lower()}")
    if streams:
        properties["NUM_STREAMS"] = streams
    return properties


def _choose(
    config: Config, properties: dict[str, Any], name: str, key: str, values: dict[str, str], expected: str
) -> None:
    value = contract.parameter(config, name).upper()
    if value and value not in values:
        raise Refused(f"expected the parameter '{name}' to be {expected}, got {value.lower()}")
    if value:
        properties[key] = values[value]


def _signature(model: Any) -> Signature:
    return Signature(inputs=_infos(model.inputs), outputs=_infos(model.outputs))


def _infos(ports: Sequence[Any]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            port.get_any_name(),
            DTYPES.get(port.get_element_type().get_type_name(), ""),
            tuple(d.get_length() if d.is_static else -1 for d in port.get_partial_shape()),
        )
        for port in ports
    )
