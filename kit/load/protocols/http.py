"""HTTP with binary tensors: for servers behind what lets nothing else through.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import http.client
import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.errors import ModelContractError, UsageError
from kit.load.protocols._grpc import encoded, total
from kit.load.protocols.interface import BatchCount, Counted, Waiting
from kit.load.requests import Feed
from kit.load.values import ModelShare
from kit.stream.failures import CallFailedError, Failure, Trouble, classify
from kit.types import DataType, Signature, Tensor

_PORT = 8000
_ADDRESS = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/]+)(?::(?P<port>[0-9]{1,5}))?/?")
_CODES = {404: "NOT_FOUND", 400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
          429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Request:
    """A body and what stands before it."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class Pool(Waiting):
    """Connections that are kept and used again, as many as there are requests at once."""

    host: str
    port: int
    tls: bool
    _idle: deque[http.client.HTTPConnection] = field(default_factory=deque)

    def signature(self, share: ModelShare, timeout_s: float) -> Signature:
        """Ask for the metadata."""
        told = self._json("GET", _path(share), timeout_s)
        try:
            return Signature(inputs=_tensors(told["inputs"]), outputs=_tensors(told["outputs"]))
        except (KeyError, ValueError) as error:
            raise ModelContractError(f"{share.name} has a tensor that the kit does not know: {error}") from error

    def models(self, timeout_s: float) -> tuple[str, ...]:
        """Ask for the index."""
        return tuple(
            sorted({m["name"] for m in self._json("POST", "/v2/repository/index", timeout_s, b'{"ready":true}')})
        )

    def counted(self, share: ModelShare, timeout_s: float) -> Counted:
        """Ask for the statistics."""
        told = self._json("GET", f"{_path(share)}/stats", timeout_s)["model_stats"]
        return total([_counted(found) for found in told])

    def requests(self, share: ModelShare, feeds: Sequence[Feed], timeout_s: float) -> Sequence[Request]:  # noqa: ARG002
        """Write the JSON and the tensors' bytes after it; answers are asked for as bytes too."""
        return [_request(share, feed) for feed in feeds]

    def send(self, request: object, timeout_s: float) -> None:
        """Send it, and read the answer to its end."""
        assert isinstance(request, Request)
        self._ask("POST", request.path, timeout_s, request.body, request.headers)

    def close(self) -> None:
        """Disconnect."""
        while self._idle:
            self._idle.pop().close()

    def _json(self, method: str, path: str, timeout_s: float, body: bytes | None = None) -> Any:
        return json.loads(self._ask(method, path, timeout_s, body, {}))

    def _ask(
        self, method: str, path: str, timeout_s: float, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:  # fmt: skip
        connection = self._idle.pop() if self._idle else self._new()
        try:
            connection.timeout = timeout_s
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            content, status = answer.read(), answer.status
        except TimeoutError as error:
            connection.close()
            raise CallFailedError(Failure(trouble=Trouble.DEADLINE, text="no answer in time")) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CallFailedError(Failure(trouble=Trouble.UNREACHABLE, text=text)) from error
        self._idle.append(connection)
        if status != http.client.OK:
            raise CallFailedError(classify(_CODES.get(status, "INTERNAL"), _words(content, status)))
        return content

    def _new(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        return kind(self.host, self.port)


def _request(share: ModelShare, feed: Feed) -> Request:
    from tritonclient import utils

    contents = {name: encoded(array) for name, array in feed.items()}
    described = [
        {"name": name, "datatype": utils.np_to_triton_dtype(array.dtype), "shape": list(array.shape),
         "parameters": {"binary_data_size": len(contents[name])}}
        for name, array in feed.items()
    ]  # fmt: skip
    head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
    return Request(
        path=f"{_path(share)}/infer",
        headers={"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"},
        body=head + b"".join(contents.values()),
    )


def _path(share: ModelShare) -> str:
    return f"/v2/models/{share.name}" + (f"/versions/{share.version}" if share.version else "")


def _tensors(told: Any) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=t["name"], dtype=DataType(t["datatype"]), shape=tuple(int(size) for size in t["shape"]))
        for t in told
    )


def _counted(told: Any) -> Counted:
    stats = told["inference_stats"]
    return Counted(
        requests=stats["success"]["count"],
        failed=stats["fail"]["count"],
        inferences=told["inference_count"],
        executions=told["execution_count"],
        request_ns=stats["success"]["ns"],
        queue_ns=stats["queue"]["ns"],
        input_ns=stats["compute_input"]["ns"],
        infer_ns=stats["compute_infer"]["ns"],
        output_ns=stats["compute_output"]["ns"],
        batches={
            b["batch_size"]: BatchCount(executions=b["compute_infer"]["count"], compute_ns=b["compute_infer"]["ns"])
            for b in told.get("batch_stats", ())
        },
    )


def _words(content: bytes, status: int) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {status}"


class Http:
    """The way of web servers."""

    name = "http"
    title = "HTTP"
    url = f"localhost:{_PORT}"
    options = ("-i", "http")

    def connect(self, url: str) -> Pool:
        """Read the address. Raises ``UsageError``."""
        match = _ADDRESS.fullmatch(url.strip())
        if match is None:
            raise UsageError(f'"{url}" is no address of an HTTP server; give host:port, for example localhost:{_PORT}')
        return Pool(host=match["host"].strip("[]"), port=int(match["port"] or _PORT), tls=match["scheme"] == "https")


MEMBER = Http()
