"""Requests as bytes: what never changes is encoded once, and a frame is copied once, into the message.

The protocol is https://github.com/kserve/open-inference-protocol: ``ModelInferRequest`` has parameters in field 4 and
raw tensor contents in field 7. The order of fields on the wire is free, and parts of a map may stand apart
(https://protobuf.dev/programming-guides/encoding), so that a request is a joint of encoded parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.stream.failures import CallFailedError, Failure, Trouble
from kit.stream.pixels import PixelLayout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_PARAMETERS_TAG = b"\x22"  # field 4, length-delimited
_RAW_TAG = b"\x3a"  # field 7, length-delimited
_TIMEOUT_KEY = b"\x0a\x07timeout"  # field 1 of a map's entry
_VALUE_TAG = b"\x12"  # field 2 of a map's entry
_INT64_TAG = b"\x10"  # field 2 of InferParameter, varint


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where a frame lies in shared memory that the server knows by name. Sizes and offsets in bytes."""

    name: str
    offset: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A model's outputs, without the batch dimension, and the version that made them."""

    version: str
    arrays: dict[str, npt.NDArray[np.generic]]


def header(model: str, version: str, layout: PixelLayout, region: Region | None = None) -> bytes:
    """Return the part of a request that is the same for all frames (of one place in shared memory)."""
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    tensor = request.inputs.add(name=layout.name, datatype=layout.dtype.value, shape=layout.shape)
    if region is not None:
        tensor.parameters["shared_memory_region"].string_param = region.name
        tensor.parameters["shared_memory_byte_size"].int64_param = layout.byte_size
        if region.offset:
            tensor.parameters["shared_memory_offset"].int64_param = region.offset
    encoded: bytes = request.SerializeToString()
    return encoded


def timeout(microseconds: int) -> bytes:
    """Return Triton's own request timeout: the server drops a request that waited longer, where a queue policy allows.

    Its unit is microseconds: docs/protocol/extension_schedule_policy.md of Triton's server.
    """
    parameter = _INT64_TAG + varint(microseconds)
    entry = _TIMEOUT_KEY + _VALUE_TAG + varint(len(parameter)) + parameter
    return _PARAMETERS_TAG + varint(len(entry)) + entry


def raw(byte_size: int) -> bytes:
    """Return what stands before a tensor's bytes."""
    return _RAW_TAG + varint(byte_size)


def varint(number: int) -> bytes:
    """Return a number of at least 0 in base 128, the lowest digits first."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def parse(message: bytes, *, batched: bool) -> Answer:
    """Read an encoded ``ModelInferResponse``. Raises ``CallFailedError`` where it is none."""
    from google.protobuf.message import DecodeError
    from tritonclient.grpc import service_pb2

    try:
        response = service_pb2.ModelInferResponse.FromString(message)
        arrays = {
            output.name: _array(content, output.datatype, tuple(output.shape), batched=batched)
            for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
        }
    except (DecodeError, ValueError) as error:
        raise CallFailedError(Failure(trouble=Trouble.FAILED, text=f"the answer cannot be read: {error}")) from error
    return Answer(version=response.model_version, arrays=arrays)


def _array(content: bytes, datatype: str, shape: Sequence[int], *, batched: bool) -> npt.NDArray[np.generic]:
    import numpy as np
    from tritonclient import utils

    if datatype == "BYTES":
        flat = utils.deserialize_bytes_tensor(content)
    elif datatype == "BF16":
        flat = utils.deserialize_bf16_tensor(content)
    else:
        flat = np.frombuffer(content, utils.triton_to_np_dtype(datatype))
    array: npt.NDArray[np.generic] = flat.reshape(shape)
    return array[0] if batched and array.ndim and array.shape[0] == 1 else array
