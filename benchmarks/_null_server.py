"""A process that speaks Triton's gRPC and has every answer ready: what is measured beside it is the client.

It gives each request's id back, by which perf_analyzer knows its answers. It says that it takes frames by shared
memory, and never looks at one: no real server can do less.

    python benchmarks/_null_server.py SIDE [DELAY_MS]    # prints its port; ends when its standard input does
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

MODEL = "frames"
ROWS = 100
FOUND = 10
_STRINGS, _ID = (0x0A, 0x12, 0x1A), 0x1A
"""Tags of the first three fields of ``ModelInferRequest``; those of its answer are the same."""
_VALUES = (
    ("num", "INT32", np.full((1, 1), FOUND, np.int32)),
    ("boxes", "FP32", np.tile(np.array([10, 20, 300, 400], np.float32), (1, ROWS, 1))),
    ("scores", "FP32", np.linspace(1, 0, ROWS, dtype=np.float32)[np.newaxis]),
    ("classes", "INT32", np.arange(ROWS, dtype=np.int32)[np.newaxis] % 80),
)
"""As the null model of ``client_cpu.py`` answers to one frame."""


def infer_answer() -> bytes:
    """Return the answer to a frame."""
    made = service_pb2.ModelInferResponse(model_name=MODEL, model_version="1")
    for name, kind, values in _VALUES:
        made.outputs.add(name=name, datatype=kind, shape=values.shape)
        made.raw_output_contents.append(values.tobytes())
    return bytes(made.SerializeToString())


def model_answer(side: int) -> bytes:
    """Return what the model says of itself."""
    made = service_pb2.ModelMetadataResponse(name=MODEL, versions=["1"], platform="null")
    made.inputs.add(name="images", datatype="UINT8", shape=[-1, side, side, 3])
    for name, kind, values in _VALUES:
        made.outputs.add(name=name, datatype=kind, shape=[-1, *values.shape[1:]])
    return bytes(made.SerializeToString())


def identity(request: bytes) -> bytes:
    """Return the request's field ``id`` as it stands on the wire; empty where there is none.

    Fields stand in the order of their numbers: the model's name and version before it, the frame after it. Nothing is
    decoded, as the frame would be copied.
    """
    place = 0
    while place + 1 < len(request) and request[place] in _STRINGS:
        end = place + 2 + request[place + 1]
        if request[place] == _ID:
            return request[place:end]
        place = end
    return b""


def main(side: int, delay_s: float = 0.0) -> None:
    """Answer frames after so long, everything else at once, until standard input ends."""
    told = service_pb2.ServerMetadataResponse(name="null", version="2", extensions=["system_shared_memory"])
    config = service_pb2.ModelConfigResponse(config={"name": MODEL, "max_batch_size": 1})
    answers = {
        "ModelInfer": infer_answer(),
        "ModelMetadata": model_answer(side),
        "ServerMetadata": bytes(told.SerializeToString()),
        "ModelConfig": bytes(config.SerializeToString()),
        "ModelReady": bytes(service_pb2.ModelReadyResponse(ready=True).SerializeToString()),
        "SystemSharedMemoryRegister": b"",
        "SystemSharedMemoryUnregister": b"",
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(lambda _, __, answer=answer: answer)
        for name, answer in answers.items()
    }
    frame = answers["ModelInfer"]

    def infer(request: bytes, _: object) -> bytes:
        if delay_s:
            time.sleep(delay_s)
        return frame + identity(request)

    handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(infer)
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), *(float(text) / 1e3 for text in sys.argv[2:]))
