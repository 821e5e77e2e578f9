"""Triton's OpenVINO backend: the IR, a text of the graph (.xml) and its weights (.bin), for the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kit import environments
from kit.cache import file_digest
from kit.environments import ScriptError, Worker
from kit.errors import StageError, UnsupportedModelError
from kit.targets.values import Target
from kit.types import Artifact, DataType, Model, Signature, StoredFile, Tensor

_SCRIPT = Path(__file__).with_name("_openvino_script.py")
_REMEDY = "serve it with --runtime onnxruntime"

_TYPES = {
    "boolean": DataType.BOOL,
    "u8": DataType.UINT8,
    "u16": DataType.UINT16,
    "u32": DataType.UINT32,
    "u64": DataType.UINT64,
    "i8": DataType.INT8,
    "i16": DataType.INT16,
    "i32": DataType.INT32,
    "i64": DataType.INT64,
    "f16": DataType.FP16,
    "f32": DataType.FP32,
}
"""The backend's own table; it has no FP64, BF16 nor strings.

https://github.com/triton-inference-server/openvino_backend/blob/main/src/openvino_utils.cc
"""


class OpenVino:
    """Converts the graph in OpenVINO's own environment; precision is the graph's (Cast, Q/DQ, FP16 weights)."""

    name = "openvino"
    title = "OpenVINO"
    tools = ("openvino/openvino",)

    def build(self, model: Model, target: Target, folder: Path) -> Artifact:  # noqa: ARG002 (the same for every target)
        """Write ``model.xml`` and ``model.bin``. Raises ``UnsupportedModelError``, ``ToolEnvironmentError``.

        The same for every target: shapes stay as they are, and the backend sets the batch.
        """
        _require_types(model.signature)
        xml, weights = folder / "model.xml", folder / "model.bin"
        given = {"onnx": str(model.path), "xml": str(xml), "outputs": [t.name for t in model.signature.outputs]}
        with Worker(environments.ensure(self.name, _unseen), _SCRIPT) as worker:
            try:
                told = worker.call("convert", given).data
            except ScriptError as error:
                raise UnsupportedModelError(f"OpenVINO cannot convert the model: {error}; {_REMEDY}") from error
        made = Signature(inputs=_tensors(told["inputs"]), outputs=_tensors(told["outputs"]))
        return Artifact(
            backend=self.name,
            filename=xml.name,
            path=xml,
            digest=file_digest(xml),
            signature=_same(model.signature, made),
            beside=(StoredFile(filename=weights.name, path=weights, digest=file_digest(weights)),),
        )


def _unseen(_: str) -> None:
    """Progress of an installation on a terminal is a bar of its own; elsewhere the stage's line says enough."""


def _require_types(signature: Signature) -> None:
    known = set(_TYPES.values())
    for tensor in (*signature.inputs, *signature.outputs):
        if tensor.dtype not in known:
            raise UnsupportedModelError(
                f'Triton\'s OpenVINO backend has no {tensor.dtype.value}, which "{tensor.name}" is; {_REMEDY}'
            )


def _tensors(told: Sequence[tuple[str, str, list[int]]]) -> tuple[Tensor, ...]:
    return tuple(Tensor(name=name, dtype=_TYPES[kind], shape=tuple(shape)) for name, kind, shape in told)


def _same(wanted: Signature, made: Signature) -> Signature:
    """Return the signature of the graph, which the IR must have too: it may know less of its shapes, or more."""
    for before, after in zip((*wanted.inputs, *wanted.outputs), (*made.inputs, *made.outputs), strict=True):
        sizes = zip(before.shape, after.shape, strict=False)
        fits = len(before.shape) == len(after.shape) and all(-1 in pair or len(set(pair)) == 1 for pair in sizes)
        if before.name != after.name or before.dtype is not after.dtype or not fits:
            raise StageError(
                f"openvino: {before.name} {before.dtype.value}{list(before.shape)} became {after.name} "
                f"{after.dtype.value}{list(after.shape)}; {_REMEDY}, and please report it with the model"
            )
    return wanted


MEMBER = OpenVino()
