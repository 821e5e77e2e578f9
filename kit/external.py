"""Weights that an ONNX model keeps in files beside it: found, refused where that would be unsafe, brought inside.

A model names its data files itself, so a model from a stranger could name any file of this machine. As ONNX's own
loader does, only regular files with one name, in the model's folder or below, reached by no link, are read:
https://onnx.ai/onnx/repo-docs/ExternalData.html and onnx/checker.cc (``resolve_external_data_location``).
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from kit.errors import ExternalDataError

if TYPE_CHECKING:
    import onnx

LARGEST_MODEL_BYTES = 2**31 - 1
"""What protobuf can write as one message: https://protobuf.dev/programming-guides/proto-limits/."""

Opened: TypeAlias = "dict[str, tuple[int, int]]"
"""Each data file's descriptor and size, by the name that the model gives it."""

_MARK = b"location"
_BLOCK_BYTES = 1 << 20
_BITS = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a tensor's bytes lie: ``length`` None is all that follows ``offset``."""

    file: str
    offset: int
    length: int | None


def mentions(data: bytes) -> bool:
    """Tell, without reading the model, whether it may keep weights in other files."""
    return _MARK in data


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor in a model: weights, constants, in subgraphs and functions too."""
    yield from _in_graph(model.graph)
    for function in model.functions:
        yield from _in_nodes(function.node)


def digest(model: onnx.ModelProto, folder: Path, name: str, model_digest: str, model_bytes: int) -> str:
    """Return what ``embed`` would return, and leave the model as it is. Raises as ``embed`` does."""
    return _work(model, folder, name, model_digest, model_bytes, bring_inside=False)


def embed(model: onnx.ModelProto, folder: Path, name: str, model_digest: str, model_bytes: int) -> str:
    """Bring the weights inside, in place, and return a digest of the model's file and of all that it names.

    ``name`` is the model file's, for messages, ``folder`` where it lies, ``model_bytes`` its size. The digest is
    ``model_digest`` where nothing lies outside. Raises ``ExternalDataError`` where a file is missing, too short,
    unsafe, or all together are more than 2 GB.
    """
    return _work(model, folder, name, model_digest, model_bytes, bring_inside=True)


def _work(
    model: onnx.ModelProto, folder: Path, name: str, model_digest: str, model_bytes: int, *, bring_inside: bool
) -> str:
    places = [(tensor, _place(tensor, name)) for tensor in _outside(model)]
    if not places:
        return model_digest
    _require_room(model_bytes + sum(_size(t, name) for t, _ in places), name)
    with _opened(folder, {place.file for _, place in places}, name) as opened:
        _require_no_overlap([(place, _extent(t, place, opened, name)) for t, place in places], name)
        found = _digest(model_digest, opened)
        for tensor, place in places if bring_inside else ():
            tensor.raw_data = _read(opened[place.file][0], place.offset, _size(tensor, name))
            tensor.ClearField("data_location")
            del tensor.external_data[:]
    return found


def require_readable_size(size: int, name: str) -> None:
    """Refuse a model file that protobuf cannot read, before it is read. Raises ``ExternalDataError``."""
    _require_room(size, name)


def _require_room(size: int, name: str) -> None:
    if size > LARGEST_MODEL_BYTES:
        raise ExternalDataError(
            f"{name} has {size / 1e9:.1f} GB with its weights, and one ONNX file holds at most "
            f"{LARGEST_MODEL_BYTES / 1e9:.1f} GB; export it with FP16 weights, which take half, or split the network"
        )


@contextmanager
def _opened(folder: Path, files: set[str], name: str) -> Iterator[Opened]:
    """Keep every data file open, so that what is checked is what is read."""
    opened: Opened = {}
    try:
        for file in sorted(files):
            opened[file] = _open(folder, file, name)
        yield opened
    finally:
        for descriptor, _ in opened.values():
            os.close(descriptor)


def _open(folder: Path, file: str, name: str) -> tuple[int, int]:
    """Open a data file that is allowed; return its descriptor and size in bytes."""
    _require_inside(file, name)
    path = folder
    for part in PurePosixPath(file).parts:
        path /= part
        if path.is_symlink():
            raise ExternalDataError(
                _unsafe(name, file, "is a symbolic link" if path == folder / file else "is reached by one")
            )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ExternalDataError(
            f"{name} keeps weights in {file}, which {why}; put it into {folder or '.'}/, where the model is"
        ) from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor, status.st_size
    os.close(descriptor)
    what = "has other names too (hard links)" if stat.S_ISREG(status.st_mode) else "is no regular file"
    raise ExternalDataError(_unsafe(name, file, what))


def _require_inside(file: str, name: str) -> None:
    path = PurePosixPath(file)
    if not file or "\0" in file or "\\" in file:
        raise ExternalDataError(_unsafe(name, file, "is no name of a file here"))
    if path.is_absolute():
        raise ExternalDataError(_unsafe(name, file, "is an absolute path"))
    if ".." in path.parts:
        raise ExternalDataError(_unsafe(name, file, 'leaves the folder by ".."'))


def _unsafe(name: str, file: str, what: str) -> str:
    return (
        f'{name} keeps weights in "{file}", which {what}; only regular files in the model\'s folder are read: copy the '
        "file there, or save the model as one file where it was made"
    )


def _digest(model_digest: str, opened: Opened) -> str:
    whole = hashlib.sha256(model_digest.encode())
    for file, (descriptor, _) in sorted(opened.items()):
        part, offset = hashlib.sha256(), 0
        while block := os.pread(descriptor, _BLOCK_BYTES, offset):
            part.update(block)
            offset += len(block)
        whole.update(f"{file}\0{part.hexdigest()}\0".encode())
    return whole.hexdigest()


def _outside(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [t for t in tensors(model) if t.data_location == t.EXTERNAL or t.external_data]


def _place(tensor: onnx.TensorProto, name: str) -> _Place:
    told = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset, length = int(told.get("offset") or 0), told.get("length")
        place = _Place(file=told.get("location", ""), offset=offset, length=int(length) if length else None)
    except ValueError:
        place = _Place(file="", offset=-1, length=None)
    if place.offset < 0 or (place.length or 0) < 0:
        raise ExternalDataError(f"{name}: where the weights of {tensor.name} lie is no number; export the model again")
    return place


def _size(tensor: onnx.TensorProto, name: str) -> int:
    """Return how many bytes a tensor's values take."""
    import onnx

    kinds = {number: kind for kind, number in onnx.TensorProto.DataType.items()}
    kind, count = kinds.get(tensor.data_type, "UNDEFINED"), math.prod(tensor.dims)
    if kind in {"UNDEFINED", "STRING"} or min(tensor.dims, default=0) < 0:
        raise ExternalDataError(f"{name}: the weights of {tensor.name} are no numbers; export the model again")
    if kind in _BITS:
        return -(-int(count) * _BITS[kind] // 8)
    return int(count * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _extent(tensor: onnx.TensorProto, place: _Place, opened: Opened, name: str) -> int:
    """Return how many bytes to read; they are in the file and as many as the tensor's shape needs."""
    size, available = _size(tensor, name), opened[place.file][1] - place.offset
    if size != (available if place.length is None else place.length) or size > available:
        found = max(0, available if place.length is None else min(place.length, available))
        raise ExternalDataError(
            f"{name}: the weights of {tensor.name} take {size:,} bytes, {place.file} has {found:,} for them; copy both "
            "files again, from the same export"
        )
    return size


def _require_no_overlap(extents: Iterable[tuple[_Place, int]], name: str) -> None:
    """Refuse weights that share a part of their bytes; those that share all are one tensor under two names."""
    last, end = ("", 0), 0
    for place, size in sorted(extents, key=lambda pair: (pair[0].file, pair[0].offset, pair[1])):
        here = (place.file, place.offset)
        if size and last[0] == place.file and place.offset < end and (here, place.offset + size) != (last, end):
            raise ExternalDataError(
                f"{name}: weights overlap in {place.file} at byte {place.offset:,}; export it again"
            )
        last, end = here, place.offset + size


def _read(descriptor: int, offset: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size and (block := os.pread(descriptor, min(size - len(parts), 1 << 30), offset + len(parts))):
        parts += block
    return bytes(parts)


def _in_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Any) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            for sparse in (
                *attribute.sparse_tensors,
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
            ):
                yield from (sparse.values, sparse.indices)
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _in_graph(graph)
