"""ONNX graphs on disk: read, write the same bytes each time, describe as Triton's backend will see them."""

from __future__ import annotations

import concurrent.futures
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit import disk, external
from kit.errors import NotOnnxError, TruncatedOnnxError, UnsupportedModelError
from kit.types import DataType, Model, Signature, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx
    import onnxruntime
    from google.protobuf.message import Message

Array: TypeAlias = "npt.NDArray[np.generic]"

ANSWER_LIMIT_S = 300.0

_LARGEST_KEPT = 1024
"""Numbers in a constant that may say something of a shape; larger ones are weights."""

_ORT_TYPES = {
    "tensor(bool)": DataType.BOOL,
    "tensor(uint8)": DataType.UINT8,
    "tensor(uint16)": DataType.UINT16,
    "tensor(uint32)": DataType.UINT32,
    "tensor(uint64)": DataType.UINT64,
    "tensor(int8)": DataType.INT8,
    "tensor(int16)": DataType.INT16,
    "tensor(int32)": DataType.INT32,
    "tensor(int64)": DataType.INT64,
    "tensor(float16)": DataType.FP16,
    "tensor(bfloat16)": DataType.BF16,
    "tensor(float)": DataType.FP32,
    "tensor(double)": DataType.FP64,
    "tensor(string)": DataType.BYTES,
}
_DATED_KEYS = frozenset({"date", "time", "created", "timestamp"})
_ITS_OWN = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed: ?|/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])"
)
_PATH_LIKE = re.compile(r"(^|[\s\"'=(])(/[\w.-]+){2,}|[A-Za-z]:\\")


class NeverAnswersError(UnsupportedModelError):
    """The model was still at work on one answer after ``ANSWER_LIMIT_S``."""


def read(path: Path) -> onnx.ModelProto:
    """Return the model in a file, weights included. Raises as ``parse`` and ``external.embed`` do, and ``OSError``."""
    data = path.read_bytes()
    model = parse(data, path.name)
    external.embed(model, path.parent, path.name, "", len(data))
    return model


def parse(data: bytes, name: str) -> onnx.ModelProto:
    """Return the model in a file's bytes; ``name`` is the file's, for messages.

    Weights outside the file stay there: ``kit.external``. Raises ``NotOnnxError`` and ``TruncatedOnnxError``.
    """
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        if _looks_truncated(data):
            raise TruncatedOnnxError(
                f"{name} ends after {len(data):,} bytes in the middle of the model; copy or export it again"
            ) from error
        raise NotOnnxError(f"{name} is not an ONNX file; give a file that torch.onnx.export wrote") from error
    _require_a_graph(model, name, data)
    if not all(isinstance(text, str) for text in _texts(model)):
        raise NotOnnxError(f"{name} has names that are no text; copy or export it again")
    return model


def write(model: onnx.ModelProto, path: Path) -> str:
    """Write a model and return the file's digest; the same model gives the same bytes."""
    data = model.SerializeToString(deterministic=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def strip(model: onnx.ModelProto) -> None:
    """Remove what differs between two builds of one model: paths, stack traces, dates, comments.

    PyTorch's exporter keeps stack traces in each node's ``metadata_props``: the same model exported from
    two folders has different bytes until they are gone.
    """
    model.doc_string = ""
    kept = {p.key: p.value for p in model.metadata_props if _is_portable(p.key, p.value)}
    del model.metadata_props[:]
    for key in sorted(kept):
        model.metadata_props.add(key=key, value=kept[key])
    versions = {o.domain if o.domain != "ai.onnx" else "": o.version for o in model.opset_import}
    del model.opset_import[:]
    for domain in sorted(versions):
        model.opset_import.add(domain=domain, version=versions[domain])
    _strip_graph(model.graph)
    for function in model.functions:
        _strip_values(function.value_info)
        _strip_nodes(function.node)
        function.doc_string = ""
        del function.metadata_props[:]


def with_prefix(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Return the model with ``prefix`` in front of every name: onnx's own, which forgets one case.

    What the branch of an If or the body of a Loop takes from the graph around it, it leaves as it was.
    """
    import onnx.compose

    made = onnx.compose.add_prefix(model, prefix)
    _link(made.graph, prefix, set())
    return made


def _link(graph: onnx.GraphProto, prefix: str, around: set[str]) -> None:
    """Rename what the nodes of a graph take from those around it."""
    own = {v.name for v in (*graph.input, *graph.initializer)} | {name for n in graph.node for name in n.output}
    for node in graph.node:
        node.input[:] = [_linked(name, prefix, own, around) for name in node.input]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _link(inner, prefix, around | own)


def _linked(name: str, prefix: str, own: set[str], around: set[str]) -> str:
    return f"{prefix}{name}" if name and name not in own | around and f"{prefix}{name}" in own | around else name


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which larger constants are inputs, which is enough to infer shapes: a graph is a few kilobytes.

    Those that may say something of a shape are kept.
    """
    import onnx

    light, graph = onnx.ModelProto(ir_version=model.ir_version), model.graph
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = graph.name
    for kind in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(light.graph, kind).extend(getattr(graph, kind))
    named = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= _LARGEST_KEPT:
            light.graph.initializer.append(tensor)
        elif tensor.name not in named:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(value)
    return light


def set_aside(model: onnx.ModelProto) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Take the values out of larger weights, in place, and return shape and values by name: see ``bring_back``.

    Meanwhile they are empty tensors, so that what copies, renames and joins graphs does not move them each time.
    """
    aside = {}
    for tensor in model.graph.initializer:
        if tensor.HasField("raw_data") and math.prod(tensor.dims) > _LARGEST_KEPT:
            aside[tensor.name] = (tuple(tensor.dims), tensor.raw_data)
            tensor.dims[:] = [0]
            tensor.raw_data = b""
    return aside


def bring_back(model: onnx.ModelProto, aside: Mapping[str, tuple[tuple[int, ...], bytes]], prefix: str = "") -> None:
    """Put back what ``set_aside`` took, into those weights that are still there; ``prefix`` is before their names."""
    for tensor in model.graph.initializer:
        name = tensor.name.removeprefix(prefix)
        if tensor.name.startswith(prefix) and name in aside:
            tensor.dims[:], tensor.raw_data = aside[name]


def unchanged(model: Model, folder: Path) -> Model:
    """Return the model with its file in ``folder`` too, so that a stage that changes nothing has its own result."""
    path = folder / model.path.name
    disk.link_or_copy(model.path, path)
    return replace(model, path=path, notes=())


def save(model: onnx.ModelProto, path: Path, name: str = "", *, checked: bool = False) -> Model:
    """Write a model and describe it as ``describe`` does; ``name`` is what the user calls it, for messages.

    With ``checked`` it is held to all of ONNX's rules first: see ``onnx_failures`` for what that raises.
    """
    import onnx

    digest = write(model, path)
    if checked:
        onnx.checker.check_model(str(path), full_check=True)  # the file: the model would be serialised once more
    return _described(model, path, digest, name)


def describe(path: Path, digest: str) -> Model:
    """Return the model in ``path`` with the signature that ONNX Runtime infers.

    Triton's ONNX Runtime backend compares a configuration with the session's shapes, not with those that
    the file declares. Raises ``UnsupportedModelError`` where ONNX Runtime cannot load it, or it gives nothing.
    """
    import onnx

    return _described(onnx.load(str(path), load_external_data=False), path, digest, "")


def _described(proto: onnx.ModelProto, path: Path, digest: str, name: str) -> Model:
    name = name or path.name
    try:
        signature = session_signature(session(path, threads=1, optimize=False, name=name))
    except UnicodeDecodeError as error:
        raise UnsupportedModelError(f"{name} has names that are no text; copy or export it again") from error
    if not signature.outputs:
        raise UnsupportedModelError(f"{name} has no outputs: there is nothing to serve; export it again")
    if narrow := [t.name for t in (*signature.inputs, *signature.outputs) if t.dtype is DataType.BF16]:
        raise UnsupportedModelError(
            f"{', '.join(narrow)}: BF16, in which no answer can be compared; put a Cast to FP32 at the model's edge"
        )
    return Model(
        path=path,
        digest=digest,
        signature=signature,
        metadata={p.key: p.value for p in proto.metadata_props},
        opset=opset(proto),
        ir_version=proto.ir_version,
    )


def session(
    model: Path | bytes, threads: int = 0, *, optimize: bool = True, name: str = ""
) -> onnxruntime.InferenceSession:
    """Open a file, or a serialised model, with ONNX Runtime on the CPU; ``threads`` per operator, 0 for all cores.

    Without ``optimize`` it is opened quickly and runs slowly: shapes are inferred all the same. ``name`` is what the
    user calls it. Raises ``UnsupportedModelError`` with ONNX Runtime's reason.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # its wheels for Linux have some since 1.31
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # errors come as exceptions
    # Idle threads that spin take the cores from the server that is loading the model beside us.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        opened = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(opened, options, providers=["CPUExecutionProvider"])
    except refusals() as error:
        name = name or ("the graph" if isinstance(model, bytes) else model.name)
        raise UnsupportedModelError(f"ONNX Runtime cannot load {name}: {one_line(error)}") from error


def answer(running: onnxruntime.InferenceSession, feeds: Mapping[str, Array]) -> tuple[Array, ...]:
    """Return a session's outputs for ``feeds``, in their order; Ctrl-C is heard, and a loop without end is ended.

    Raises ``UnsupportedModelError`` where the model does not run, and ``NeverAnswersError`` after five minutes.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    # Python hears a signal when native code has returned, which it may never do: that waits in another thread.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as side:
        job = side.submit(running.run, None, dict(feeds), options)
        try:
            return tuple(job.result(ANSWER_LIMIT_S))
        except concurrent.futures.TimeoutError as error:
            raise NeverAnswersError(
                f"the model does not answer within {ANSWER_LIMIT_S:g} s on this machine; does a Loop in it ever end?"
            ) from error
        except refusals() as error:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
            raise UnsupportedModelError(f"the model does not run with {shapes}: {one_line(error)}") from error
        finally:
            options.terminate = True  # nothing, where it has ended


def refusals() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its classes have no common base but ``Exception``."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(c for c in vars(state).values() if isinstance(c, type) and issubclass(c, Exception))


def onnx_failures() -> tuple[type[Exception], ...]:
    """Return what onnx's checker, converter and shape inference raise on a graph that makes no sense.

    Its own classes have no common base, and C++ below them throws what Python sees as the others.
    """
    import onnx.version_converter
    from google.protobuf.message import Error as ProtobufError

    return (
        RuntimeError, ValueError, TypeError, IndexError, ProtobufError,
        onnx.checker.ValidationError, onnx.shape_inference.InferenceError, onnx.version_converter.ConvertError,
    )  # fmt: skip


def session_signature(running: onnxruntime.InferenceSession) -> Signature:
    """Return what a session takes and gives."""
    return Signature(
        inputs=tuple(_tensor(value) for value in running.get_inputs()),
        outputs=tuple(_tensor(value) for value in running.get_outputs()),
    )


def opset(model: onnx.ModelProto) -> int:
    """Return the version of the default operator set."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def one_line(error: object) -> str:
    """Return a foreign message as one line, without ONNX Runtime's code in brackets, its sources and our folders."""
    return _ITS_OWN.sub("", " ".join(str(error).split()))


def _tensor(value: onnxruntime.NodeArg) -> Tensor:
    if value.type not in _ORT_TYPES:
        raise UnsupportedModelError(f"{value.name} is a {value.type}; Triton serves tensors only")
    shape = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in value.shape)
    return Tensor(name=value.name, dtype=_ORT_TYPES[value.type], shape=shape)


def _require_a_graph(model: onnx.ModelProto, name: str, data: bytes) -> None:
    if model.ir_version and model.graph.node and model.opset_import:
        return
    if _looks_truncated(data) or (model.ir_version and model.graph.node):
        raise TruncatedOnnxError(f"{name} ends after {len(data):,} bytes; copy or export it again")
    what = "is empty" if not data else "is not an ONNX file"
    raise NotOnnxError(f"{name} {what}; give a file that torch.onnx.export wrote")


def _texts(message: Message) -> Iterator[object]:
    """Yield every string in a message; where its bytes are no UTF-8, protobuf gives them as ``bytes``."""
    for field, value in message.ListFields():
        values = (value,) if isinstance(value, (str, bytes)) or hasattr(value, "ListFields") else value
        if field.type == field.TYPE_STRING:
            yield from values
        elif field.type == field.TYPE_MESSAGE:
            for one in values:
                yield from _texts(one)


def _looks_truncated(data: bytes) -> bool:
    """Tell whether the bytes begin as a ModelProto (field 1, a small IR version) and then overrun the end."""
    return len(data) > 2 and data[0] == 0x08 and 1 <= data[1] <= 64


def _is_portable(key: str, value: str) -> bool:
    return key.lower() not in _DATED_KEYS and not _PATH_LIKE.search(value)


def _strip_graph(graph: onnx.GraphProto) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    _strip_values((*graph.input, *graph.output, *graph.value_info, *graph.initializer))
    _strip_nodes(graph.node)


def _strip_values(values: Iterable[onnx.ValueInfoProto | onnx.TensorProto]) -> None:
    for value in values:
        value.doc_string = ""
        del value.metadata_props[:]


def _strip_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
            _strip_values(t for t in (attribute.t, *attribute.tensors) if t.doc_string or t.metadata_props)
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _strip_graph(graph)
