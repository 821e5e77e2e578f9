"""One connection to a Triton server: tuned to be used again soon after a restart.

Facts: gRPC doubles its pause before it connects again up to two minutes, so that a server is not used for many seconds
after it is back; answers above 4 MiB are refused by default; Triton closes connections that ping more often than every
five minutes.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kit.errors import UsageError
from kit.stream.failures import CLOSED, CallFailedError, of_call

if TYPE_CHECKING:
    import grpc
    from tritonclient.grpc import service_pb2

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),  # a Triton server stands in the same network
    # Its own connection: another channel of this process to the same server would share its pauses.
    ("grpc.use_local_subchannel_pool", 1),
)

PORT = 8001
_PORTS = 1 << 16
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+)(:(?P<port>[0-9]{1,5}))?")
_SERVICE = "/inference.GRPCInferenceService/"
_Answer = TypeVar("_Answer")


def address(text: str) -> str:
    """Return where a server is asked: gRPC's port is 8001 unless it is said.

    ``host``, ``host:port``, ``[::1]:port``, ``unix:path``, ``grpc://host:port``, and ``grpcs://`` with TLS and the
    system's certificates. Raises ``UsageError`` for what is no address of gRPC.
    """
    if text.startswith("unix:"):
        return text
    scheme, _, rest = text.strip().rpartition("://")
    rest = rest.rstrip("/")
    host = rest if rest.endswith("]") else rest.rpartition(":")[0] or rest
    if scheme.startswith("http"):
        raise UsageError(f"{text} is HTTP; frames go by gRPC: {host}:{PORT}")
    match = _ADDRESS.fullmatch(rest)
    if scheme not in ("", "grpc", "grpcs") or match is None or int(match["port"] or PORT) >= _PORTS:
        raise UsageError(f'"{text}" is no address of a gRPC server; give host:port, for example localhost:{PORT}')
    return f"{'grpcs://' if scheme == 'grpcs' else ''}{match['host']}:{match['port'] or PORT}"


@dataclass(kw_only=True)
class Channel:
    """Calls to a server at ``url``, see ``address``; threads may share it. Raises ``UsageError`` where it is none."""

    url: str
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _channel: grpc.Channel | None = field(default=None, repr=False)
    _infer: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Complete the address."""
        self.url = address(self.url)

    def infer(self, request: bytes, timeout_s: float) -> grpc.Future:
        """Send an encoded ``ModelInferRequest``; the future gives an encoded ``ModelInferResponse``."""
        with self._lock:
            self._opened()
            call = self._infer
        return call.future(request, timeout=timeout_s)

    def answer(self, request: bytes, timeout_s: float) -> bytes:
        """Send an encoded ``ModelInferRequest`` and wait for the encoded answer: less work than ``infer``."""
        import grpc

        with self._lock:
            self._opened()
            call = self._infer
        try:
            answered: bytes = call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise CallFailedError(of_call(error)) from error
        except ValueError as error:  # the channel was reset or closed under the call
            raise CallFailedError(CLOSED) from error
        return answered

    def server(self, timeout_s: float) -> service_pb2.ServerMetadataResponse:
        """Return the server's name, version and extensions. Raises ``CallFailedError``, as all calls here."""
        from tritonclient.grpc import service_pb2 as messages

        return self._call(
            "ServerMetadata", messages.ServerMetadataRequest(), messages.ServerMetadataResponse, timeout_s
        )

    def metadata(self, model: str, timeout_s: float, version: str = "") -> service_pb2.ModelMetadataResponse:
        """Return a model's inputs and outputs."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.ModelMetadataRequest(name=model, version=version)
        return self._call("ModelMetadata", request, messages.ModelMetadataResponse, timeout_s)

    def config(self, model: str, timeout_s: float, version: str = "") -> service_pb2.ModelConfigResponse:
        """Return a model's configuration."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.ModelConfigRequest(name=model, version=version)
        return self._call("ModelConfig", request, messages.ModelConfigResponse, timeout_s)

    def ready(self, model: str, timeout_s: float, version: str = "") -> bool:
        """Return whether the model answers requests."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.ModelReadyRequest(name=model, version=version)
        return bool(self._call("ModelReady", request, messages.ModelReadyResponse, timeout_s).ready)

    def models(self, timeout_s: float) -> tuple[str, ...]:
        """Return the names of the models that are ready."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.RepositoryIndexRequest(ready=True)
        answer = self._call("RepositoryIndex", request, messages.RepositoryIndexResponse, timeout_s)
        return tuple(sorted({model.name for model in answer.models}))

    def known(self, timeout_s: float) -> tuple[str, ...]:
        """Return the names of all models in the server's repository, ready or not."""
        from tritonclient.grpc import service_pb2 as messages

        answer = self._call(
            "RepositoryIndex", messages.RepositoryIndexRequest(), messages.RepositoryIndexResponse, timeout_s
        )
        return tuple(sorted({model.name for model in answer.models}))

    def load(
        self, model: str, timeout_s: float, config: str | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        """Load a model, with this configuration (JSON) and these files (``1/model.onnx``) instead of its own.

        https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md#load
        """
        from tritonclient.grpc import service_pb2 as messages

        request = messages.RepositoryModelLoadRequest(model_name=model)
        if config is not None:
            request.parameters["config"].string_param = config
        for path, content in (files or {}).items():
            request.parameters[f"file:{path}"].bytes_param = content
        self._call("RepositoryModelLoad", request, messages.RepositoryModelLoadResponse, timeout_s)

    def unload(self, model: str, timeout_s: float) -> None:
        """Begin to unload a model: its instances end when their requests are answered."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.RepositoryModelUnloadRequest(model_name=model)
        self._call("RepositoryModelUnload", request, messages.RepositoryModelUnloadResponse, timeout_s)

    def unsettled(self, model: str, timeout_s: float) -> bool:
        """Return whether a version of the model is being loaded or unloaded now."""
        from tritonclient.grpc import service_pb2 as messages

        answer = self._call(
            "RepositoryIndex", messages.RepositoryIndexRequest(), messages.RepositoryIndexResponse, timeout_s
        )
        return any(found.name == model and found.state in ("LOADING", "UNLOADING") for found in answer.models)

    def statistics(self, model: str, timeout_s: float) -> service_pb2.ModelStatisticsResponse:
        """Return what the server has counted of a model since it was loaded."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.ModelStatisticsRequest(name=model)
        return self._call("ModelStatistics", request, messages.ModelStatisticsResponse, timeout_s)

    def register(self, name: str, key: str, byte_size: int, timeout_s: float) -> None:
        """Show the server a system shared memory region."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.SystemSharedMemoryRegisterRequest(name=name, key=key, byte_size=byte_size)
        self._call("SystemSharedMemoryRegister", request, messages.SystemSharedMemoryRegisterResponse, timeout_s)

    def unregister(self, name: str, timeout_s: float) -> None:
        """Let the server forget a region."""
        from tritonclient.grpc import service_pb2 as messages

        request = messages.SystemSharedMemoryUnregisterRequest(name=name)
        self._call("SystemSharedMemoryUnregister", request, messages.SystemSharedMemoryUnregisterResponse, timeout_s)

    @property
    def local(self) -> bool:
        """Whether the address is this machine's own, so that the server may see its shared memory."""
        if self.url.startswith("unix:"):
            return True
        host = self.url.removeprefix("grpcs://").rpartition(":")[0].strip("[]")
        return host == "localhost" or _own(host)

    @property
    def plain(self) -> bool:
        """Whether it goes by TCP without TLS, to ``host:port``."""
        return not self.url.startswith(("unix:", "grpcs://"))

    def reset(self) -> None:
        """Connect anew: what was under way is cancelled. For a connection that is up and answers nothing."""
        with self._lock:
            old, self._channel = self._channel, None
        if old is not None:
            old.close()

    def close(self) -> None:
        """Disconnect; a later call would connect again."""
        self.reset()

    def _opened(self) -> grpc.Channel:
        """Return the channel; the lock is held."""
        import grpc

        if self._channel is None:
            if self.url.startswith("grpcs://"):
                credentials = grpc.ssl_channel_credentials()
                self._channel = grpc.secure_channel(self.url.removeprefix("grpcs://"), credentials, OPTIONS)
            else:
                self._channel = grpc.insecure_channel(self.url, OPTIONS)
            self._infer = self._channel.unary_unary(f"{_SERVICE}ModelInfer")
        return self._channel

    def _call(self, method: str, request: Any, answer: Callable[[], _Answer], timeout_s: float) -> _Answer:
        import grpc

        with self._lock:
            channel = self._opened()
        call = channel.unary_unary(
            _SERVICE + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,  # type: ignore[attr-defined]
        )
        try:
            made: _Answer = call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise CallFailedError(of_call(error)) from error
        except ValueError as error:  # the channel was reset or closed under the call
            raise CallFailedError(CLOSED) from error
        return made


def _own(host: str) -> bool:
    """Return whether an address is one of this machine's: one can listen on it."""
    try:
        address = ipaddress.ip_address(socket.gethostbyname(host))
    except (OSError, ValueError):
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
