"""Real servers for the live tests, and tiny ONNX models in model repositories for them to serve."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.server import embedded
from kit.server.interface import RunningServer, ServerOptions

ONNX_TYPES = {
    "BOOL": "BOOL",
    "UINT8": "UINT8",
    "UINT16": "UINT16",
    "UINT32": "UINT32",
    "UINT64": "UINT64",
    "INT8": "INT8",
    "INT16": "INT16",
    "INT32": "INT32",
    "INT64": "INT64",
    "FP16": "FLOAT16",
    "BF16": "BFLOAT16",
    "FP32": "FLOAT",
    "FP64": "DOUBLE",
    "BYTES": "STRING",
}


def config_type(dtype: str) -> str:
    return "TYPE_STRING" if dtype == "BYTES" else f"TYPE_{dtype}"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A server without models, a repository to put some into, and a client."""

    server: RunningServer
    repository: Path
    client: Any
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def add(self, model: Any, config: str, *, stem: str = "model", filename: str = "model.onnx") -> str:
        """Write a model (an ONNX proto, or bytes) and its configuration; return its name, which is unique."""
        name = f"{stem}_{next(self._numbers)}"
        folder = self.repository / name / "1"
        folder.mkdir(parents=True)
        (folder / filename).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        (folder.parent / "config.pbtxt").write_text(config)
        return name

    def loaded(self, model: Any, config: str, **kwargs: str) -> str:
        name = self.add(model, config, **kwargs)
        self.server.load(name)
        return name

    def executions(self, name: str, inferences: int) -> int:
        """Return how many batches the model ran for so many inferences.

        Triton counts a batch after its answers are sent, so that the count is waited for.
        """
        deadline = time.monotonic() + 60
        while True:
            (stats,) = self.client.get_inference_statistics(name).model_stats
            if stats.inference_count >= inferences or time.monotonic() > deadline:
                assert stats.inference_count == inferences
                return int(stats.execution_count)
            time.sleep(0.02)

    def infer(self, name: str, outputs: tuple[str, ...] = (), **arrays: Any) -> dict[str, Any]:
        """Send a request and return its answer's arrays by name; BF16 arrays are ``(array, "BF16")``."""
        import tritonclient.grpc as grpc

        inputs = []
        for key, value in arrays.items():
            array, dtype = value if isinstance(value, tuple) else (value, grpc_dtype(value))
            tensor = grpc.InferInput(key, list(array.shape), dtype)
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        wanted = [grpc.InferRequestedOutput(o) for o in outputs] or None
        answer = self.client.infer(name, inputs, outputs=wanted, client_timeout=60)
        return {o.name: answer.as_numpy(o.name) for o in answer.get_response().outputs}


def grpc_dtype(array: Any) -> str:
    from tritonclient.utils import np_to_triton_dtype

    return str(np_to_triton_dtype(array.dtype))


def graph(nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], initializers: Any = ()) -> Any:
    """Build a model; inputs and outputs are ``name: (dtype by Triton's name, shape)``."""
    from onnx import TensorProto, helper

    def infos(tensors: dict[str, Any]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, getattr(TensorProto, ONNX_TYPES[dtype]), shape)
            for name, (dtype, shape) in tensors.items()
        ]

    made = helper.make_graph(nodes, "graph", infos(inputs), infos(outputs), list(initializers))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def identity(dtype: str = "FP32", shape: tuple[Any, ...] = ("batch", 4)) -> Any:
    from onnx import helper

    return graph([helper.make_node("Identity", ["x"], ["y"])], {"x": (dtype, shape)}, {"y": (dtype, shape)})


def config(
    dims: str = "4", *, dtype: str = "FP32", batch: int = 8, more: str = "", inputs: str = "x", outputs: str = "y"
) -> str:
    """Write a configuration in which all tensors have the same type and dims."""
    tensors = [("input", name) for name in inputs.split()] + [("output", name) for name in outputs.split()]
    lines = [f'backend: "onnxruntime"\nmax_batch_size: {batch}\ninstance_group {{ kind: KIND_CPU count: 1 }}']
    lines += [f'{k} {{ name: "{n}" data_type: {config_type(dtype)} dims: [{dims}] }}' for k, n in tensors]
    return "\n".join([*lines, more])


@pytest.fixture(scope="session")
def embedded_server_runs() -> None:
    """Skip where no embedded server can run; a failure to install it is a failure."""
    reason = embedded.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def bench(embedded_server_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from _bench(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def completing_bench(embedded_server_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from _bench(tmp_path_factory.mktemp("repository"), auto_complete=True)


@pytest.fixture(scope="module")
def openvino_bench(embedded_server_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from _bench(tmp_path_factory.mktemp("repository"), backends=("openvino",))


Both = Callable[[str, str, Any], tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def both(embedded_server_runs: None, repository: Path) -> Iterator[Both]:
    """Serve the module's own ``repository``; give what ONNX Runtime and the server answer to frames."""
    import tritonclient.grpc as grpc

    from kit import compare

    with (
        embedded.running(ServerOptions(repository=repository)) as server,
        grpc.InferenceServerClient(server.grpc_url) as client,
    ):

        def answers(model: str, tensor: str, frames: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            given = grpc.InferInput(tensor, frames.shape, "UINT8")
            given.set_data_from_numpy(frames)
            answer = client.infer(model, [given], client_timeout=120)
            got = {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
            return compare.runner(repository / model / "1" / "model.onnx")({tensor: frames}), got

        yield answers


def _bench(repository: Path, *, backends: tuple[str, ...] = (), auto_complete: bool = False) -> Iterator[Bench]:
    import tritonclient.grpc as grpc

    options = ServerOptions(repository=repository, load_at_start=False, backends=backends, auto_complete=auto_complete)
    with embedded.running(options) as server:
        client = grpc.InferenceServerClient(server.grpc_url)
        try:
            yield Bench(server=server, repository=repository, client=client)
        finally:
            client.close()


@pytest.fixture
def sample() -> Callable[[str, tuple[int, ...]], Any]:
    """Return an array of a type, with its extremes in it, the same each time."""

    def make(dtype: str, shape: tuple[int, ...]) -> Any:
        generator = np.random.default_rng(0)
        count = int(np.prod(shape))
        if dtype == "BYTES":
            words = ["", "a", "über", "空の瓶", "x" * 300, "two words"]
            return np.array([words[i % len(words)].encode() for i in range(count)], dtype=np.object_).reshape(shape)
        if dtype == "BOOL":
            return generator.integers(0, 2, shape).astype(bool)
        if dtype in ("FP16", "FP32", "FP64"):
            values = generator.normal(size=shape).astype({"FP16": "f2", "FP32": "f4", "FP64": "f8"}[dtype])
            values.flat[:2] = (np.inf, -0.0)[: min(2, count)]
            return values
        limits = np.iinfo(dtype.lower())
        values = generator.integers(limits.min, limits.max, shape, dtype=dtype.lower(), endpoint=True)
        values.flat[:2] = (limits.min, limits.max)[: min(2, count)]
        return values

    return make
