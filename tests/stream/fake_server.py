"""A server that speaks Triton's gRPC and does what a test says: slow, full, forgetful. For policy only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

SIDE = 8
"""The model ``echo`` takes UINT8 [-1, 8, 8, 3] and gives the first pixel's first value as FP32 [-1, 1]."""


class RefusedError(Exception):
    """What a behaviour raises to refuse a request."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code, self.words = grpc.StatusCode[code], words


@dataclass
class FakeServer:
    """``behave`` gets each request before it is answered; it may sleep, or raise ``RefusedError``."""

    behave: Callable[[Any], None] = lambda _: None
    extensions: tuple[str, ...] = ()
    version: str = "1"
    requests: list[Any] = field(default_factory=list)
    answered: int = 0
    most_at_once: int = 0
    port: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def infer(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        request = service_pb2.ModelInferRequest.FromString(message)
        with self._lock:
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.behave(request)
        except RefusedError as refused:
            context.abort(refused.code, refused.words)
        finally:
            with self._lock:
                self._at_once -= 1
        pixel = request.raw_input_contents[0][0] if request.raw_input_contents else 0
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=self.version)
        answer.outputs.add(name="pixel", datatype="FP32", shape=[1, 1])
        answer.raw_output_contents.append(_float(pixel))
        self.answered += 1
        return bytes(answer.SerializeToString())

    def metadata(self, _: bytes, __: Any) -> bytes:
        made = service_pb2.ModelMetadataResponse(name="echo", versions=[self.version], platform="fake")
        made.inputs.add(name="image", datatype="UINT8", shape=[-1, SIDE, SIDE, 3])
        made.outputs.add(name="pixel", datatype="FP32", shape=[-1, 1])
        return bytes(made.SerializeToString())

    def server(self, _: bytes, __: Any) -> bytes:
        made = service_pb2.ServerMetadataResponse(name="fake", version="0", extensions=self.extensions)
        return bytes(made.SerializeToString())

    def register(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAVAILABLE, "client shared memory is off; start with --allow-client-shm=true")
        return b""


def _float(number: int) -> bytes:
    import struct

    return struct.pack("<f", number)


@contextmanager
def running(fake: FakeServer, tls: tuple[bytes, bytes] | None = None) -> Iterator[FakeServer]:
    methods = {
        "ModelInfer": fake.infer,
        "ModelMetadata": fake.metadata,
        "ServerMetadata": fake.server,
        "SystemSharedMemoryRegister": fake.register,
        "ModelConfig": lambda _, __: bytes(service_pb2.ModelConfigResponse().SerializeToString()),
        "ModelReady": lambda _, __: bytes(service_pb2.ModelReadyResponse(ready=True).SerializeToString()),
    }
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    with ThreadPoolExecutor(32) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
        )
        if tls is None:
            fake.port = server.add_insecure_port(fake.url)
        else:
            fake.port = server.add_secure_port(fake.url, grpc.ssl_server_credentials([tls]))
        server.start()
        try:
            yield fake
        finally:
            server.stop(0).wait(60)


def wait_for(condition: Callable[[], bool], timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()
