"""The names of a model's classes, asked from the server: a client on another machine has no file of them.

Triton does not hand out its label files, but its classification extension puts names beside the largest values of an
output that has ``label_filename`` (docs/protocol/extension_classification.md of Triton's server): asked for as many
values as the output has, it tells a name for each of its places.
"""

from __future__ import annotations

from kit.stream.channel import Channel
from kit.stream.contract import ModelContract
from kit.stream.failures import CallFailedError

_EXTENSION = "classification"


def read(channel: Channel, contract: ModelContract, timeout_s: float) -> tuple[str, ...]:
    """Return the names by class index; none where the server knows none.

    An output of class indices tells as many names as it has places: a detector's ``classes`` ``[100]`` the first 100.
    """
    import grpc
    from google.protobuf.message import DecodeError
    from tritonclient.grpc import service_pb2

    places = next((t.shape[-1] for t in contract.outputs if t.name == contract.labelled and t.shape), -1)
    if places < 1 or _EXTENSION not in contract.extensions:
        return ()
    pixels = contract.pixels
    request = service_pb2.ModelInferRequest(model_name=contract.model, model_version=contract.version)
    request.inputs.add(name=pixels.name, datatype=pixels.dtype.value, shape=pixels.shape)
    request.raw_input_contents.append(bytes(pixels.byte_size))
    request.outputs.add(name=contract.labelled).parameters["classification"].int64_param = places
    try:
        message = channel.infer(request.SerializeToString(), timeout_s).result()
        response = service_pb2.ModelInferResponse.FromString(message)
        return names(_strings(response.raw_output_contents[0]))
    except (grpc.RpcError, CallFailedError, DecodeError, IndexError, ValueError):
        return ()  # numbers do as well


def names(told: list[str]) -> tuple[str, ...]:
    """Read ``value:index:name`` in any order, up to the first index without a name."""
    split = [line.split(":", 2) for line in told]
    known = {int(parts[1]): parts[2] for parts in split if len(parts) == 3 and parts[2]}
    count = next((index for index in range(len(known) + 1) if index not in known), 0)
    return tuple(known[index] for index in range(count))


def _strings(content: bytes) -> list[str]:
    from tritonclient.utils import deserialize_bytes_tensor

    return [word.decode(errors="replace") for word in deserialize_bytes_tensor(content)]
