"""Triton's backend ``onnxruntime`` as a Python-based backend, on ONNX Runtime's CPU provider.

It reads what the real one reads and refuses what the real one refuses, in its words (``shared.contract``);
source: https://github.com/triton-inference-server/onnxruntime_backend/blob/main/src/onnxruntime.cc
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # exists in Triton's stub only

if TYPE_CHECKING:
    from kit.server.backends.shared import contract, transport
    from kit.server.backends.shared.batching import Executor
    from kit.server.backends.shared.contract import Config, Refused, Signature, TensorInfo
    from kit.server.backends.shared.failures import one_line, one_line_errors
else:
    from shared import contract, transport
    from shared.batching import Executor
    from shared.contract import Refused, Signature, TensorInfo
    from shared.failures import one_line, one_line_errors

onnxruntime.disable_telemetry_events()  # its wheels for Linux have some since 1.31

DTYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16

_LEVELS = onnxruntime.GraphOptimizationLevel
# optimization.graph.level, as the real backend reads it: 2 turns optimisation off; anything else means all.
_GRAPH_LEVELS = {-1: _LEVELS.ORT_ENABLE_BASIC, 1: _LEVELS.ORT_ENABLE_EXTENDED, 2: _LEVELS.ORT_DISABLE_ALL}


class TritonPythonModel:
    """What Triton calls: one object for each instance of a model."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in what the configuration leaves out, unless inputs and outputs are both there."""
        config = auto_complete_model_config.as_dict()
        if not (config["input"] and config["output"]):
            with one_line_errors(_load_error):
                session = _open(config, Path(pb.get_model_dir()), config["name"])
                contract.complete(auto_complete_model_config, _signature(session))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model. Raises ``TritonModelException`` with one line: Triton's own, where Triton has one."""
        with one_line_errors(_load_error):
            config = json.loads(args["model_config"])
            if args["model_instance_kind"] == "GPU":
                raise Refused(
                    f"model '{config['name']}' has an instance of kind KIND_GPU and the embedded server runs ONNX "
                    "Runtime on the CPU only; serve it with --engine docker or with a CPU target's configuration"
                )
            folder = Path(args["model_repository"], args["model_version"])
            session = _open(config, folder, args["model_instance_name"])
            signature = _signature(session)
            contract.check_inputs(config, signature, contract.ONNXRUNTIME)
            contract.check_outputs(config, signature, contract.ONNXRUNTIME)
            tensors = (*signature.inputs, *signature.outputs)
            run = _BFloat16Run(session, signature) if any(t.dtype == "BF16" for t in tensors) else session.run
            self._executor = Executor(config, signature, run)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, one response for each."""
        return self._executor.execute(requests)


def _load_error(error: Exception) -> str:
    """Return the message as the real backend words it: ``onnx runtime error 7: Load model from ... failed``."""
    text = one_line(error)
    found = re.fullmatch(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", text)
    return f"onnx runtime error {found[1]}: {found[2]}" if found else text


def _open(config: Config, folder: Path, instance: str) -> onnxruntime.InferenceSession:
    path = folder / (config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path /= "model.onnx"
    if not path.exists():
        raise Refused(f"unable to find '{path}' for model instance '{instance}'")
    _check_accelerators(config)
    return onnxruntime.InferenceSession(path, _session_options(config), providers=["CPUExecutionProvider"])


def _check_accelerators(config: Config) -> None:
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    for entry in accelerators.get("gpu_execution_accelerator", ()):
        if entry["name"] not in ("tensorrt", "cuda"):
            raise Refused(f"unknown Execution Accelerator '{entry['name']}' is requested")
        raise Refused(
            f"model '{config['name']}' asks for the execution accelerator '{entry['name']}' and the embedded server "
            "has no GPU; serve it with --engine docker or with a CPU target's configuration"
        )
    for entry in accelerators.get("cpu_execution_accelerator", ()):
        if entry["name"] != "openvino":
            raise Refused(f"unknown Execution Accelerator '{entry['name']}' is requested")
        pb.Logger.log_warn("the embedded server has no OpenVINO accelerator for ONNX Runtime; its own CPU kernels run")


def _session_options(config: Config) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _GRAPH_LEVELS.get(level, _LEVELS.ORT_ENABLE_ALL)
    mode = contract.integer_parameter(config, "execution_mode")
    if mode not in (0, 1):
        raise Refused(
            f"Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got {mode} ."
        )
    modes = onnxruntime.ExecutionMode
    options.execution_mode = modes.ORT_PARALLEL if mode else modes.ORT_SEQUENTIAL
    options.intra_op_num_threads = max(0, contract.integer_parameter(config, "intra_op_thread_count"))
    options.inter_op_num_threads = max(0, contract.integer_parameter(config, "inter_op_thread_count"))
    # Threads that spin for work take the cores from Triton and from a client on the same machine: with 2 threads
    # on 2 busy cores, not spinning gave 13 to 17 requests/s instead of 5 to 7 (benchmarks/throughput.py).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = _switch(config, "enable_mem_arena")
    options.enable_mem_pattern = _switch(config, "enable_mem_pattern")
    initializers = contract.parameter(config, "session.use_device_allocator_for_initializers")
    if initializers:
        options.add_session_config_entry("session.use_device_allocator_for_initializers", initializers)
    for library in config.get("model_operations", {}).get("op_library_filename", ()):
        options.register_custom_ops_library(library)
    return options


def _switch(config: Config, name: str) -> bool:
    text = contract.parameter(config, name, "true").lower()
    if text not in ("1", "0", "true", "false"):
        raise Refused(f"failed to convert '{text}' to boolean value")
    return text in ("1", "true")


def _signature(session: onnxruntime.InferenceSession) -> Signature:
    return Signature(
        inputs=_infos(session.get_inputs()),
        outputs=_infos(session.get_outputs()),
        overridable=_infos(session.get_overridable_initializers()),
    )


def _infos(arguments: Sequence[Any]) -> tuple[TensorInfo, ...]:
    """Return the session's tensors; a dimension with a name, or with none, is of variable size."""
    for argument in arguments:
        if not argument.type.startswith("tensor("):
            kind = "ONNX_TYPE_" + argument.type.partition("(")[0].upper()
            raise Refused(f"Unsupported ONNX Type '{kind}' for I/O '{argument.name}', expected 'ONNX_TYPE_TENSOR'.")
    return tuple(
        TensorInfo(a.name, DTYPES.get(a.type, ""), tuple(d if isinstance(d, int) and d >= 0 else -1 for d in a.shape))
        for a in arguments
    )


class _BFloat16Run:
    """Runs a session that has BF16 tensors, which are ``uint16`` arrays here."""

    def __init__(self, session: onnxruntime.InferenceSession, signature: Signature) -> None:
        self._session = session
        self._bfloat16 = {t.name for t in (*signature.inputs, *signature.outputs) if t.dtype == "BF16"}

    def __call__(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        make = onnxruntime.OrtValue
        values = {
            name: make.ortvalue_from_numpy_with_onnx_type(array, _BFLOAT16)
            if name in self._bfloat16
            else make.ortvalue_from_numpy(array)
            for name, array in feeds.items()
        }
        results = self._session.run_with_ort_values(names, values)
        # The wrapper has no DLPack of its own.
        return [
            transport.bfloat16_from_dlpack(r._ortvalue) if n in self._bfloat16 else r.numpy()  # noqa: SLF001
            for n, r in zip(names, results, strict=True)
        ]
