"""gRPC's calls, for requests that carry their inputs and for those whose inputs lie in shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import ModelContractError
from kit.load.protocols._direct import Direct
from kit.load.protocols.interface import BatchCount, Counted, Done, Waiting
from kit.load.requests import Feed
from kit.load.values import ModelShare
from kit.stream.channel import Channel
from kit.types import DataType, Signature, Tensor


@dataclass(kw_only=True)
class Calls(Waiting):
    """What both ways have in common: questions by grpc, and requests without it, unless there is TLS."""

    channel: Channel
    _direct: Direct | None = None

    def signature(self, share: ModelShare, timeout_s: float) -> Signature:
        """Ask for the metadata."""
        told = self.channel.metadata(share.name, timeout_s, share.version)
        return Signature(inputs=_tensors(told.inputs, share), outputs=_tensors(told.outputs, share))

    def models(self, timeout_s: float) -> tuple[str, ...]:
        """Ask for the index."""
        return self.channel.models(timeout_s)

    def counted(self, share: ModelShare, timeout_s: float) -> Counted:
        """Ask for the statistics, of all versions together unless one was chosen."""
        told = self.channel.statistics(share.name, timeout_s).model_stats
        return total([_counted(found) for found in told if share.version in ("", found.version)])

    def send(self, request: object, timeout_s: float) -> None:
        """Send bytes."""
        assert isinstance(request, bytes)
        self.channel.answer(request, timeout_s)

    def submit(self, request: object, timeout_s: float, done: Done) -> None:
        """Send bytes by the shortest way that there is."""
        assert isinstance(request, bytes)
        if not self.channel.plain:
            super().submit(request, timeout_s, done)
            return
        if self._direct is None:
            self._direct = Direct(address=self.channel.url)
        self._direct.submit(request, timeout_s, done)

    def close(self) -> None:
        """Disconnect."""
        if self._direct is not None:
            self._direct.close()
        self.channel.close()


def message(share: ModelShare, feed: Feed) -> tuple[Any, list[bytes]]:
    """Return a ``ModelInferRequest`` without contents, and the contents of its inputs in their order."""
    from tritonclient import utils
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=share.name, model_version=share.version)
    contents = []
    for name, array in feed.items():
        request.inputs.add(name=name, datatype=utils.np_to_triton_dtype(array.dtype), shape=array.shape)
        contents.append(encoded(array))
    return request, contents


def encoded(array: Any) -> bytes:
    """Return a tensor's bytes on the wire; strings have their length before them."""
    from tritonclient import utils

    if array.dtype == object:
        return bytes(utils.serialize_byte_tensor(array).item())
    return bytes(array.tobytes())


def total(found: Sequence[Counted]) -> Counted:
    """Add statistics of several versions."""
    batches: dict[int, BatchCount] = {}
    for each in found:
        for size, batch in each.batches.items():
            before = batches.get(size, BatchCount(executions=0, compute_ns=0))
            batches[size] = BatchCount(
                executions=before.executions + batch.executions, compute_ns=before.compute_ns + batch.compute_ns
            )
    return Counted(
        requests=sum(each.requests for each in found),
        failed=sum(each.failed for each in found),
        inferences=sum(each.inferences for each in found),
        executions=sum(each.executions for each in found),
        request_ns=sum(each.request_ns for each in found),
        queue_ns=sum(each.queue_ns for each in found),
        input_ns=sum(each.input_ns for each in found),
        infer_ns=sum(each.infer_ns for each in found),
        output_ns=sum(each.output_ns for each in found),
        batches=batches,
    )


def _counted(told: Any) -> Counted:
    stats = told.inference_stats
    return Counted(
        requests=stats.success.count,
        failed=stats.fail.count,
        inferences=told.inference_count,
        executions=told.execution_count,
        request_ns=stats.success.ns,
        queue_ns=stats.queue.ns,
        input_ns=stats.compute_input.ns,
        infer_ns=stats.compute_infer.ns,
        output_ns=stats.compute_output.ns,
        batches={
            int(b.batch_size): BatchCount(executions=b.compute_infer.count, compute_ns=b.compute_infer.ns)
            for b in told.batch_stats
        },
    )


def _tensors(told: Any, share: ModelShare) -> tuple[Tensor, ...]:
    try:
        return tuple(Tensor(name=t.name, dtype=DataType(t.datatype), shape=tuple(t.shape)) for t in told)
    except ValueError as error:
        raise ModelContractError(f"{share.name} has a tensor of a type that the kit does not know: {error}") from error
