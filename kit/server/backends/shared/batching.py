"""Requests in, responses out: requests of equal shapes run as one batch, and an error hits its request only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # exists in Triton's stub only

from . import transport
from .contract import Config, Signature, config_dims
from .failures import one_line

# Runs the model: the names of the wanted outputs and the inputs' arrays -> the outputs' arrays, in that order.
Run = Callable[[list[str], dict[str, Any]], Sequence[Any]]


class Executor:
    """Runs a model for Triton's requests; everything that can be decided at load is decided in ``__init__``."""

    def __init__(self, config: Config, signature: Signature, run: Run, *, pad_to: int | None = None) -> None:
        """``pad_to`` is the batch size that the model always runs with, None: any. Raises ``contract.Refused``."""
        inputs = {t.name: t for t in (*signature.inputs, *signature.overridable)}
        self._run = run
        self._batches = config["max_batch_size"] > 0
        self._pad_to = pad_to
        self._outputs = [t["name"] for t in config["output"]]
        self._every = set(self._outputs)
        self._receive = transport.receivers((t.name, t.dtype) for t in inputs.values())
        self._send = transport.senders((t.name, t.dtype) for t in signature.outputs)
        for name, tensor in inputs.items():
            if tensor.dtype == "BYTES":
                self._receive[name] = _decoded(self._receive[name])
            if not tensor.shape:
                self._receive[name] = _scalar_in(self._receive[name])
        scalars = {t.name for t in signature.outputs if not t.shape}
        for tensor in config["output"]:
            if tensor["name"] in scalars:
                self._send[tensor["name"]] = _scalar_out(self._send[tensor["name"]], config_dims(tensor))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return one response for each request, in order."""
        if len(requests) == 1 and self._pad_to is None:
            return [self._alone(requests[0])]
        if not self._batches:
            return [self._alone(request) for request in requests]
        return self._grouped(requests)

    def _alone(self, request: Any) -> Any:
        try:
            receive = self._receive
            feeds = {}
            for tensor in request.inputs():
                name = tensor.name()
                feeds[name] = receive[name](tensor)
            names = self._wanted(request)
            arrays = self._run(names, feeds)
            return pb.InferenceResponse([self._send[n](n, a) for n, a in zip(names, arrays, strict=True)])
        except Exception as error:  # the boundary of a request: the runtime's errors share no base class
            return _failure(error)

    def _wanted(self, request: Any) -> list[str]:
        wanted = request.requested_output_names()
        return self._outputs if wanted == self._every else [n for n in self._outputs if n in wanted]

    def _grouped(self, requests: Sequence[Any]) -> list[Any]:
        responses: list[Any] = [None] * len(requests)
        groups: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
        for index, request in enumerate(requests):
            try:
                feeds = {t.name(): self._receive[t.name()](t) for t in request.inputs()}
            except Exception as error:  # the boundary of a request, as above: a string that is no UTF-8
                responses[index] = _failure(error)
                continue
            key = tuple(sorted((name, array.shape[1:]) for name, array in feeds.items()))
            groups.setdefault(key, []).append((index, feeds))
        for members in groups.values():
            self._run_group(requests, members, responses)
        return responses

    def _run_group(
        self, requests: Sequence[Any], members: list[tuple[int, dict[str, Any]]], responses: list[Any]
    ) -> None:
        """Run requests of equal shapes as one batch; if that fails, one by one, so that only the guilty fail."""
        try:
            sizes = [next(iter(feeds.values())).shape[0] for _, feeds in members]
            feeds = {name: self._joined([f[name] for _, f in members], sum(sizes)) for name in members[0][1]}
            arrays = dict(zip(self._outputs, self._run(self._outputs, feeds), strict=True))
            self._check_batch(arrays, self._pad_to or sum(sizes))
        except Exception as error:  # the boundary of a group: see _alone
            if len(members) == 1:
                responses[members[0][0]] = _failure(error)
                return
            for member in members:
                self._run_group(requests, [member], responses)
            return
        start = 0
        for (index, _), size in zip(members, sizes, strict=True):
            names = self._wanted(requests[index])
            tensors = [self._send[n](n, arrays[n][start : start + size]) for n in names]
            responses[index] = pb.InferenceResponse(tensors)
            start += size

    def _joined(self, arrays: list[Any], total: int) -> Any:
        if self._pad_to is not None and total < self._pad_to:
            arrays = [*arrays, np.zeros((self._pad_to - total, *arrays[0].shape[1:]), arrays[0].dtype)]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    @staticmethod
    def _check_batch(arrays: Mapping[str, Any], total: int) -> None:
        for name, array in arrays.items():
            if array.shape[:1] != (total,):
                raise ValueError(f"output '{name}' has shape {list(array.shape)} for a batch of {total}")


def _failure(error: Exception) -> Any:
    return pb.InferenceResponse(error=pb.TritonError(one_line(error), pb.TritonError.INVALID_ARG))


def _decoded(receive: transport.Receive) -> transport.Receive:
    """Triton gives ``bytes``; the runtimes take ``str`` and keep UTF-8."""

    def decoded(tensor: Any) -> Any:
        array = receive(tensor)
        return np.array([item.decode() for item in array.flat], dtype=np.object_).reshape(array.shape)

    return decoded


def _scalar_in(receive: transport.Receive) -> transport.Receive:
    return lambda tensor: receive(tensor).reshape(())


def _scalar_out(send: transport.Send, dims: tuple[int, ...]) -> transport.Send:
    return lambda name, array: send(name, np.reshape(array, dims))
