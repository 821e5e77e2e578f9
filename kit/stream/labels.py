"""Class names that a server gives away: Triton names the classes of an output that has a ``label_filename``.

It does so only for answers by its classification extension
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md): ``K`` strings
``value:index:name``. The index is the place in the output, so that asking for all of them, once, for a black picture,
gives the names of as many classes as the output has places.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from math import prod
from typing import Any

from kit.stream.channel import Channel
from kit.stream.contract import ModelContract


def ask(channel: Channel, agreed: ModelContract, timeout_s: float) -> tuple[str, ...]:
    """Return a model's class names; empty where the server gives none. Raises ``CallFailedError``."""
    config = channel.config(agreed.model, timeout_s, agreed.version).config
    named = next((output for output in config.output if output.label_filename), None)
    if named is None:
        return ()
    places = prod(named.dims)
    if places < 1:
        return ()
    done = threading.Event()
    call = channel.infer(_request(agreed, named.name, places), timeout_s)
    call.add_done_callback(lambda _: done.set())
    if not done.wait(timeout_s):
        return ()
    return names(_answers(call))


def names(answers: Iterable[str]) -> tuple[str, ...]:
    """Return the names by index of ``value:index:name``, as far as they go; an answer without a name gives none."""
    found: dict[int, str] = {}
    for answer in answers:
        parts = answer.split(":", 2)
        if len(parts) == 3 and parts[1].isdigit():
            found[int(parts[1])] = parts[2]
    known: list[str] = []
    while len(known) in found:
        known.append(found[len(known)])
    return tuple(known)


def _request(agreed: ModelContract, output: str, places: int) -> bytes:
    from tritonclient.grpc import service_pb2

    layout = agreed.pixels
    request = service_pb2.ModelInferRequest(model_name=agreed.model, model_version=agreed.version)
    request.inputs.add(name=layout.name, datatype=layout.dtype.value, shape=layout.shape)
    request.raw_input_contents.append(bytes(layout.byte_size))
    request.outputs.add(name=output).parameters["classification"].int64_param = places
    encoded: bytes = request.SerializeToString()
    return encoded


def _answers(call: Any) -> list[str]:
    import grpc
    from tritonclient import utils
    from tritonclient.grpc import service_pb2

    try:
        response = service_pb2.ModelInferResponse.FromString(call.result())
    except (grpc.RpcError, grpc.FutureCancelledError):
        return []  # names are a nicety: numbers are shown instead
    texts = utils.deserialize_bytes_tensor(response.raw_output_contents[0])
    return [bytes(text).decode("utf-8", "replace") for text in texts]
