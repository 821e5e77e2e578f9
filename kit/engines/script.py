"""TensorRT by its Python API, in a process of its own: reads ONNX, builds engines, runs them.

``kit.environments.worker`` runs this file, under a Python that has ``tensorrt`` (a device) or ``tensorrt_rtx`` (any
machine, to read and build only). Nothing of the kit can be imported here. Enumerators are given by name: their numbers
moved between versions.
"""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

_ENGINES: dict[str, Any] = {}
_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2


def about(ask: Any) -> Any:
    """Return the library's version: data ``module``."""
    return {"version": str(_library(ask).__version__)}, {}


def check(ask: Any) -> Any:
    """Read an ONNX file, and build an engine of it where ``compute_capability`` (``SM86``) is given, and keep none.

    Data: ``module``, ``onnx``, and for the engine those of ``build``. Returns ``layers`` (0: it was not read),
    ``built`` and ``errors``.
    """
    trt, data = _library(ask), ask.data
    log = _log(trt)
    builder = trt.Builder(log)
    network, parser, parsed = _read(trt, builder, log, data)
    layers, built = network.num_layers if parsed else 0, False
    if parsed and data.get("compute_capability"):
        built = builder.build_serialized_network(network, _config(trt, builder, network, data)) is not None
    del parser
    return {"layers": layers, "built": built, "errors": log.errors[-20:]}, {}


def build(ask: Any) -> Any:
    """Build an engine and write it.

    Data: ``module``, ``onnx``, ``plan``, ``shapes``, ``network_flags``, ``builder_flags``, ``workspace_bytes``,
    ``timing_cache`` (a path), ``dla_core``, and TensorRT-RTX's ``compute_capability``. Returns ``version``, ``seconds``
    and ``errors``; no file where it failed.
    """
    trt, data = _library(ask), ask.data
    log = _log(trt)
    trt.init_libnvinfer_plugins(log, "")
    builder = trt.Builder(log)
    network, parser, parsed = _read(trt, builder, log, data)
    start = time.perf_counter()
    if parsed:
        config = _config(trt, builder, network, data)
        cache = _timing_cache(config, data["timing_cache"])
        plan = builder.build_serialized_network(network, config)
        if plan is not None:
            _write(data["plan"], plan)
            _write(data["timing_cache"], cache.serialize())
    del parser
    return {"version": str(trt.__version__), "seconds": time.perf_counter() - start, "errors": log.errors[-20:]}, {}


def signature(ask: Any) -> Any:
    """Return an engine's inputs and outputs: name, numpy's name of the type, shape."""
    trt, engine = _library(ask), _engine(ask)[0]
    found: dict[str, Any] = {"inputs": [], "outputs": []}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        side = "inputs" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "outputs"
        kind = str(_numpy().dtype(trt.nptype(engine.get_tensor_dtype(name))))
        found[side].append([name, kind, list(engine.get_tensor_shape(name))])
    return found, {}


def answer(ask: Any) -> Any:
    """Run an engine on one batch, and again to time it: for ``seconds``, and ``least`` times.

    Data: ``module``, ``plan``, ``dla_core`` too. Returns the outputs, and ``milliseconds`` of each timed run with the
    transfers to and from the GPU.
    """
    engine, context, cuda = _engine(ask)
    with _Bindings(_library(ask), engine, context, cuda, ask.arrays) as bound:
        outputs = bound.run()
        times: list[float] = []
        end = time.perf_counter() + ask.data.get("seconds", 0)
        while len(times) < ask.data.get("least", 0) or time.perf_counter() < end:
            start = time.perf_counter()
            bound.run()
            times.append(1e3 * (time.perf_counter() - start))
    return {"milliseconds": times}, outputs


def _library(ask: Any) -> Any:
    import importlib

    return importlib.import_module(ask.data.get("module", "tensorrt"))


def _numpy() -> Any:
    import numpy as np

    return np


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps what TensorRT calls errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)
                sys.stderr.write(f"{message}\n")

    return Log()


def _read(trt: Any, builder: Any, log: Any, data: dict[str, Any]) -> tuple[Any, Any, bool]:
    flags = 0
    for name in data.get("network_flags", ()):
        flags |= 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    parsed = bool(parser.parse_from_file(data["onnx"]))
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        where = error.node_operator() + " " + error.node_name() if hasattr(error, "node_name") else "the graph"  # 8.6
        log.errors.append(f"{where}: {error.desc()}")
    return network, parser, parsed  # the network lives on the parser's weights


def _profile(builder: Any, config: Any, network: Any, shapes: dict[str, Any]) -> None:
    """Give the inputs that vary their three shapes."""
    profile, varies = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 in tuple(tensor.shape):
            profile.set_shape(tensor.name, *(tuple(shape) for shape in shapes[tensor.name]))
            varies = True
    if varies:
        config.add_optimization_profile(profile)


def _config(trt: Any, builder: Any, network: Any, data: dict[str, Any]) -> Any:
    config = builder.create_builder_config()
    for name in data["builder_flags"]:
        config.set_flag(getattr(trt.BuilderFlag, name))
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, data["workspace_bytes"])
    if data.get("compute_capability"):
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, data["compute_capability"]), 0)
    if data["dla_core"] is not None:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = data["dla_core"]
    _profile(builder, config, network, data["shapes"])
    return config


def _timing_cache(config: Any, path: str) -> Any:
    """Return a timing cache that begins with what a file holds; TensorRT refuses one of another version or GPU."""
    known = Path(path)
    cache = config.create_timing_cache(known.read_bytes() if known.exists() else b"")
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _write(path: str, data: Any) -> None:
    """Write a file so that it is whole or not there."""
    partial = Path(f"{path}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def _engine(ask: Any) -> Any:
    """Return an engine, a context of it and CUDA; loaded once."""
    plan = ask.data["plan"]
    if plan not in _ENGINES:
        trt = _library(ask)
        log = _log(trt)
        trt.init_libnvinfer_plugins(log, "")
        runtime = trt.Runtime(log)
        if ask.data.get("dla_core") is not None:
            runtime.DLA_core = ask.data["dla_core"]
        runtime.engine_host_code_allowed = bool(ask.data.get("version_compatible"))
        engine = runtime.deserialize_cuda_engine(Path(plan).read_bytes())
        if engine is None:
            raise RuntimeError(log.errors[-1] if log.errors else "TensorRT gave no reason")
        _ENGINES[plan] = (engine, engine.create_execution_context(), _Cuda(), runtime)
    return _ENGINES[plan][:3]


class _Cuda:
    """The few calls of CUDA's runtime that moving tensors takes; there is no binding that every device has."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(_cudart())
        self._library.cudaGetErrorString.restype = ctypes.c_char_p

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function. Raises ``RuntimeError`` with CUDA's reason."""
        code = getattr(self._library, name)(*arguments)
        if code:
            raise RuntimeError(f"{name}: {self._library.cudaGetErrorString(code).decode()}")


def _cudart() -> str:
    """Return CUDA's runtime library: of a wheel beside TensorRT's, else the system's."""
    folders = [Path(path) for path in sys.path if Path(path, "nvidia").is_dir()]
    wheels = [str(place) for folder in folders for place in folder.glob("nvidia/**/libcudart.so*")]
    for name in (*sorted(wheels, reverse=True), "libcudart.so", *(f"libcudart.so.{n}" for n in ("13", "12", "11.0"))):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    raise RuntimeError("CUDA's runtime library (libcudart.so) is not on this machine; install it beside TensorRT")


class _Bindings:
    """An engine's inputs and outputs in the GPU's memory, for one shape of each, until the ``with`` block ends."""

    def __init__(self, trt: Any, engine: Any, context: Any, cuda: _Cuda, feeds: dict[str, Any]) -> None:
        np = _numpy()
        self._cuda, self._context = cuda, context
        self._addresses: list[ctypes.c_void_p] = []
        self._stream = ctypes.c_void_p()
        self._inputs = [(name, np.ascontiguousarray(array)) for name, array in feeds.items()]
        self._outputs: list[Any] = []
        self._trt, self._engine = trt, engine

    def __enter__(self) -> _Bindings:
        np, trt, engine = _numpy(), self._trt, self._engine
        self._cuda.call("cudaStreamCreate", ctypes.byref(self._stream))
        for name, array in self._inputs:
            self._context.set_input_shape(name, array.shape)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        for name in names:
            if engine.get_tensor_mode(name) != trt.TensorIOMode.INPUT:
                kind = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
                self._outputs.append((name, np.empty(tuple(self._context.get_tensor_shape(name)), kind)))
        self._places = {name: self._bind(name, array) for name, array in (*self._inputs, *self._outputs)}
        return self

    def __exit__(self, *_: object) -> None:
        for address in self._addresses:
            self._cuda.call("cudaFree", address)
        self._cuda.call("cudaStreamDestroy", self._stream)

    def run(self) -> dict[str, Any]:
        """Copy the inputs there, run, copy the outputs back; return copies of these."""
        for name, array in self._inputs:
            self._copy(self._places[name], array.ctypes.data_as(ctypes.c_void_p), array.nbytes, _HOST_TO_DEVICE)
        if not self._context.execute_async_v3(self._stream.value):
            raise RuntimeError("TensorRT ran nothing; are the shapes inside the engine's profile?")
        for name, array in self._outputs:
            self._copy(array.ctypes.data_as(ctypes.c_void_p), self._places[name], array.nbytes, _DEVICE_TO_HOST)
        self._cuda.call("cudaStreamSynchronize", self._stream)
        return {name: array.copy() for name, array in self._outputs}

    def _bind(self, name: str, array: Any) -> ctypes.c_void_p:
        address = ctypes.c_void_p()
        self._cuda.call("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(max(1, array.nbytes)))
        self._addresses.append(address)
        self._context.set_tensor_address(name, address.value)
        return address

    def _copy(self, to: Any, source: Any, size: int, kind: int) -> None:
        self._cuda.call("cudaMemcpyAsync", to, source, ctypes.c_size_t(size), kind, self._stream)
