"""Throughput of the embedded Triton beside ONNX Runtime in the same process, on this machine's CPU.

    python benchmarks/throughput.py [--model yolo|digits] [--concurrency 1 4 8] [--rounds 5] [--seconds 4]

Both sides run the same graph with as many sessions as the served model has instances, the same number of
threads in each, and the same number of client threads; rounds alternate between them, medians are printed.
``grpc`` sends and receives tensors over loopback; ``shm`` leaves them in system shared memory, as a client on
the same box may. The last columns say where the time goes: CPU milliseconds per request of the server, its
stubs (which run the model) and this process (the client, or the peer with its model).

Goals: grpc at least 0.9 of the peer for a detector of YOLO11n's size, at least 0.5 for digits.
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _yolo_sized
import numpy as np
import onnx
import onnxruntime
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit.server import embedded  # noqa: E402  # the checkout's, wherever this is run from
from kit.server.interface import ServerOptions  # noqa: E402

_WARMUP_S = 1.0
_GOALS = {"yolo": 0.9, "digits": 0.5}
_TYPES = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.INT32: "INT32"}
_FOUR_BYTES = {"FP32": np.float32, "INT32": np.int32}

# Sends one request and waits for its answer; each client thread has its own.
Call = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model to serve: dims are without the batch; ``outputs`` are name, type and dims."""

    name: str
    path: Path
    input_name: str
    data_type: str
    input_dims: tuple[int, ...]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]

    def frame(self) -> Any:
        """Return one random frame ``[1, *input_dims]``."""
        generator = np.random.default_rng(0)
        frame = generator.integers(0, 256, (1, *self.input_dims), dtype=np.uint8)
        return frame if self.data_type == "UINT8" else (frame / 255).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Requests per second, and CPU ms per request by whom."""

    rate: float
    server_ms: float
    stubs_ms: float
    own_ms: float


def subject(name: str, folder: Path, graph: Path | None) -> Subject:
    """Read what there is to know from the graph; ``graph`` overrides the digits example's file."""
    path = graph or (ROOT / "examples" / "digits" / "digits.onnx" if name == "digits" else folder / "yolo.onnx")
    if name == "yolo":
        onnx.save(_yolo_sized.build(), path)
    proto = onnx.load(path).graph
    source = proto.input[0]

    def dims(tensor: Any) -> tuple[int, ...]:
        return tuple(d.dim_value for d in tensor.type.tensor_type.shape.dim[1:])

    return Subject(
        name=name,
        path=path,
        input_name=source.name,
        data_type=_TYPES[source.type.tensor_type.elem_type],
        input_dims=dims(source),
        outputs=tuple((o.name, _TYPES[o.type.tensor_type.elem_type], dims(o)) for o in proto.output),
    )


def write_repository(model: Subject, folder: Path, instances: int, threads: int) -> None:
    """Write a repository with the one model, as a target for this CPU would have it."""
    version = folder / model.name / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(model.path.read_bytes())
    outputs = "\n".join(f'output {{ name: "{n}" data_type: TYPE_{t} dims: {list(d or [1])} {_reshape(d)} }}'
                        for n, t, d in model.outputs)  # fmt: skip
    (version.parent / "config.pbtxt").write_text(
        f"""backend: "onnxruntime"
max_batch_size: 8
input {{ name: "{model.input_name}" data_type: TYPE_{model.data_type} dims: {list(model.input_dims)} }}
{outputs}
instance_group {{ kind: KIND_CPU count: {instances} }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "{threads}" }} }}
"""
    )


def _reshape(dims: tuple[int, ...]) -> str:
    """One number for each frame is ``dims: [1]`` to a client and ``[batch]`` to the model."""
    return "" if dims else "reshape { shape: [] }"


@contextmanager
def in_process(model: Subject, instances: int, threads: int) -> Iterator[Call]:
    """Yield the peer: a pool of sessions, shared by all client threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as the backend has it
    free: queue.LifoQueue[Any] = queue.LifoQueue()
    for _ in range(instances):
        free.put(onnxruntime.InferenceSession(model.path, options, providers=["CPUExecutionProvider"]))
    feeds = {model.input_name: model.frame()}

    def call() -> None:
        session = free.get()
        session.run(None, feeds)
        free.put(session)

    yield call


@contextmanager
def over_grpc(model: Subject, url: str) -> Iterator[Call]:
    """Yield calls that carry their tensors."""
    import tritonclient.grpc as grpc

    frame = model.frame()
    with grpc.InferenceServerClient(url) as client:

        def call() -> None:
            tensor = grpc.InferInput(model.input_name, list(frame.shape), model.data_type)
            tensor.set_data_from_numpy(frame)
            answer = client.infer(model.name, [tensor])
            for name, _, _ in model.outputs:
                answer.as_numpy(name)

        yield call


@contextmanager
def over_shared_memory(model: Subject, url: str, concurrency: int) -> Iterator[Call]:
    """Yield calls whose tensors lie in system shared memory: as many regions as there are calls at once."""
    import tritonclient.grpc as grpc
    from tritonclient.utils import shared_memory

    frame = model.frame()
    size = frame.nbytes
    sizes = [int(np.prod(dims, initial=1)) * 4 for _, _, dims in model.outputs]
    offsets = [size + sum(sizes[:i]) for i in range(len(sizes))]
    results = list(zip(model.outputs, sizes, offsets, strict=True))
    free: queue.LifoQueue[tuple[str, Any]] = queue.LifoQueue()
    regions = []
    with grpc.InferenceServerClient(url) as client:

        def call() -> None:
            name, handle = free.get()
            shared_memory.set_shared_memory_region(handle, [frame])
            tensor = grpc.InferInput(model.input_name, list(frame.shape), model.data_type)
            tensor.set_shared_memory(name, size)
            wanted = [grpc.InferRequestedOutput(output) for (output, _, _), _, _ in results]
            for output, (_, bytes_, offset) in zip(wanted, results, strict=True):
                output.set_shared_memory(name, bytes_, offset=offset)
            client.infer(model.name, [tensor], outputs=wanted)
            for (_, dtype, dims), _, offset in results:
                shared_memory.get_contents_as_numpy(handle, _FOUR_BYTES[dtype], (1, *dims), offset=offset)
            free.put((name, handle))

        try:
            for number in range(concurrency):
                name = f"kit_benchmark_{os.getpid()}_{concurrency}_{number}"
                regions.append((name, shared_memory.create_shared_memory_region(name, name, size + sum(sizes))))
                client.register_system_shared_memory(name, name, size + sum(sizes))
                free.put(regions[-1])
            yield call
        finally:  # the server forgets them when it ends
            for _, handle in regions:
                shared_memory.destroy_shared_memory_region(handle)


def measure(call: Call, concurrency: int, seconds: float, server_pid: int) -> Measurement:
    """Call from ``concurrency`` threads for that long; what is in flight at the ends is not counted."""
    counts, running = [0] * concurrency, True

    def client(index: int) -> None:
        while running:
            call()
            counts[index] += 1

    with ThreadPoolExecutor(concurrency) as pool:
        clients = [pool.submit(client, i) for i in range(concurrency)]
        time.sleep(_WARMUP_S)
        before, cpu, started = sum(counts), _cpu_s(server_pid), time.perf_counter()
        time.sleep(seconds)
        done, spent, elapsed = sum(counts) - before, _cpu_s(server_pid), time.perf_counter() - started
        running = False
    for ended in clients:
        ended.result()  # a failed call is a failed measurement
    server, stubs, own = ((b - a) * 1e3 / max(done, 1) for a, b in zip(cpu, spent, strict=True))
    return Measurement(rate=done / elapsed, server_ms=server, stubs_ms=stubs, own_ms=own)


def _cpu_s(server_pid: int) -> tuple[float, float, float]:
    server = psutil.Process(server_pid)
    return _used(server), sum(_used(stub) for stub in server.children()), _used(psutil.Process())


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def compare(model: Subject, url: str, server_pid: int, options: argparse.Namespace) -> list[str]:
    """Measure all sides, in turns; return the lines of the table."""
    lines = []
    for concurrency in options.concurrency:
        found: dict[str, list[Measurement]] = {"in process": [], "grpc": [], "shm": []}
        with (
            in_process(model, options.instances, options.threads) as peer,
            over_grpc(model, url) as grpc,
            over_shared_memory(model, url, concurrency) as shm,
        ):
            for _ in range(options.rounds):
                for side, call in (("in process", peer), ("grpc", grpc), ("shm", shm)):
                    found[side].append(measure(call, concurrency, options.seconds, server_pid))
        reference = statistics.median(m.rate for m in found["in process"])
        for side, rounds in found.items():
            keys = ("rate", "server_ms", "stubs_ms", "own_ms")
            rate, server, stubs, own = (statistics.median(getattr(m, key) for m in rounds) for key in keys)
            lines.append(
                f"{model.name:8s} {concurrency:11d} {side:12s} {rate:8.1f} {rate / reference:6.2f}"
                f" {server:9.2f} {stubs:9.2f} {own:9.2f}"
            )
    return lines


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(_GOALS), action="append")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of each instance")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--digits", type=Path, help="another graph for digits: the generated repository's model.onnx")
    options = parser.parse_args()
    print(f"{'model':8s} {'concurrency':>11s} {'side':12s} {'req/s':>8s} {'ratio':>6s} {'server ms':>9s} "
          f"{'stubs ms':>9s} {'own ms':>9s}")  # fmt: skip
    for name in options.model or sorted(_GOALS, reverse=True):
        with tempfile.TemporaryDirectory() as folder:
            model = subject(name, Path(folder), options.digits if name == "digits" else None)
            repository = Path(folder) / "repository"
            write_repository(model, repository, options.instances, options.threads)
            with embedded.running(ServerOptions(repository=repository)) as server:
                for line in compare(model, server.grpc_url, server.server_pid, options):
                    print(line, flush=True)
        print(f"{name}: the goal is {_GOALS[name]} for grpc", flush=True)


if __name__ == "__main__":
    main()
