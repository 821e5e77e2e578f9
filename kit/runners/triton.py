"""A model on a running Triton server: ``grpc://HOST:PORT/MODEL``, or ``grpc://HOST:PORT/MODEL/VERSION``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.errors import ModelContractError, ServerUnavailableError, UnknownModelError, UsageError, suggestion
from kit.runners.interface import Array, Arrays, Running
from kit.stream.channel import Channel
from kit.stream.failures import CallFailedError, Failure, Trouble
from kit.types import DataType, Signature, Tensor

if TYPE_CHECKING:
    from tritonclient.grpc import service_pb2

_SCHEMES = ("grpc://", "grpcs://")
_PATIENCE_S = 10.0
_ANSWER_S = 300.0


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a model is: the server's address, the model's name and version (empty: the server chooses)."""

    address: str
    model: str
    version: str


class _Served:
    def __init__(self, place: _Place, channel: Channel, signature: Signature) -> None:
        self.signature = signature
        self._place, self._channel = place, channel

    def run(self, feeds: Mapping[str, Array]) -> Arrays:
        """Ask the server once. Raises ``ServerUnavailableError`` and ``ModelContractError``."""
        import grpc
        from tritonclient.grpc import service_pb2 as messages

        from kit.stream.failures import of_call

        request = _request(self._place, feeds)
        try:
            answer = self._channel.infer(request, _ANSWER_S).result()
        except grpc.RpcError as error:
            failure = of_call(error)
            kind = ServerUnavailableError if failure.trouble is Trouble.UNREACHABLE else ModelContractError
            raise kind(f"{self._place.model} on {self._place.address} does not answer: {failure.text}") from error
        response = messages.ModelInferResponse.FromString(answer)
        return {
            output.name: _array(output.datatype, tuple(output.shape), content)
            for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
        }


class Triton:
    """Asks by gRPC, one batch at a time."""

    name = "triton"
    tools = ("tritonclient",)

    def reads(self, reference: str) -> bool:
        """Tell whether it is a URL of gRPC."""
        return reference.lower().startswith(_SCHEMES)

    @contextmanager
    def open(self, reference: str, *, threads: int = 0) -> Iterator[Running]:  # noqa: ARG002 (they are the server's)
        """Connect and read what the model takes and gives.

        Raises ``UsageError``, ``ServerUnavailableError``, ``UnknownModelError`` and ``ModelContractError``.
        """
        place = _place(reference)
        channel = Channel(url=place.address)
        try:
            yield _Served(place, channel, _signature(place, channel))
        finally:
            channel.close()


def _place(reference: str) -> _Place:
    scheme, _, rest = reference.partition("://")
    address, *names = rest.rstrip("/").split("/")
    if not 1 <= len(names) <= 2 or not all(names) or not address:
        raise UsageError(
            f'"{reference}" names no model; the form is grpc://HOST:PORT/MODEL or grpc://HOST:PORT/MODEL/VERSION'
        )
    return _Place(address=f"{scheme}://{address}", model=names[0], version=(*names[1:], "")[0])


def _signature(place: _Place, channel: Channel) -> Signature:
    try:
        metadata = channel.metadata(place.model, _PATIENCE_S, place.version)
    except CallFailedError as error:
        raise _refused(place, channel, error.failure) from error
    return Signature(
        inputs=tuple(_tensor(value) for value in metadata.inputs),
        outputs=tuple(_tensor(value) for value in metadata.outputs),
    )


def _refused(place: _Place, channel: Channel, failure: Failure) -> Exception:
    if failure.trouble is not Trouble.UNKNOWN_MODEL:
        return ServerUnavailableError(
            f"no Triton answers at {place.address}: {failure.text}; start one: kit serve model_repository"
        )
    try:
        ready = channel.models(_PATIENCE_S)
    except CallFailedError:
        ready = ()
    there = f"; {suggestion(place.model, ready)}" if ready else "; it has none that is ready"
    version = f" version {place.version}" if place.version else ""
    return UnknownModelError(f"{place.address} has no model {place.model}{version}{there}")


def _tensor(value: service_pb2.ModelMetadataResponse.TensorMetadata) -> Tensor:
    return Tensor(name=value.name, dtype=DataType(value.datatype), shape=tuple(value.shape))


def _request(place: _Place, feeds: Mapping[str, Array]) -> bytes:
    """Return the encoded request with these arrays."""
    import numpy as np
    from tritonclient.grpc import service_pb2 as messages
    from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

    request = messages.ModelInferRequest(model_name=place.model, model_version=place.version)
    for name, value in feeds.items():
        request.inputs.add(name=name, datatype=np_to_triton_dtype(value.dtype), shape=value.shape)
        if value.dtype == object:
            request.raw_input_contents.append(serialize_byte_tensor(value).tobytes())
        else:
            request.raw_input_contents.append(np.ascontiguousarray(value).tobytes())
    encoded: bytes = request.SerializeToString()
    return encoded


def _array(datatype: str, shape: tuple[int, ...], content: bytes) -> Array:
    import numpy as np
    from tritonclient.utils import deserialize_bytes_tensor

    kind = DataType(datatype)
    if kind is DataType.BYTES:
        texts: Any = deserialize_bytes_tensor(content)
        return np.array([text.decode(errors="replace") for text in texts], object).reshape(shape)
    return np.frombuffer(content, kind.numpy_name).reshape(shape)


MEMBER = Triton()
