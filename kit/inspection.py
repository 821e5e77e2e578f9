"""What a model is and what ``kit generate`` would make of it, without making it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit import anatomy, contract, flops, labels, simplify, sources, tasks
from kit.anatomy import Anatomy, Weights
from kit.errors import SourceError, UnsupportedModelError
from kit.flops import Cost
from kit.types import DataType, Interpretation, Model, Signature, Spec, Tensor

if TYPE_CHECKING:
    import onnx

_NEWEST_TEXT = 18
"""The opset that older models are raised to before anything is put around them (``kit.contract``)."""


_FREE = "the size of the input is free; give --input-shape, for example 3x640x640"


@dataclass(frozen=True, kw_only=True)
class Fused:
    """What would be put around the network: steps ``before`` it in words, operators ``after`` it by name.

    ``signature`` is what a client would see.
    """

    before: tuple[str, ...]
    after: Mapping[str, int]
    signature: Signature


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that is known of a source. None, or empty: it has none of it, or ``problem`` says why it cannot be told.

    ``size`` is in bytes, with the files beside it. ``dimensions`` name those of each tensor, where they have a name or
    a size. ``counted_for`` are the inputs' shapes for which ``cost`` was counted. ``weights`` are those of the
    simplified network.
    """

    source: str
    kind: str
    size: int
    anatomy: Anatomy
    signature: Signature
    dimensions: Mapping[str, tuple[str, ...]]
    batch: str
    weights: tuple[Weights, ...]
    cost: Cost
    counted_for: Mapping[str, tuple[int, ...]]
    meaning: Interpretation | None
    fused: Fused | None
    labels: tuple[str, ...]
    metadata: Mapping[str, str]
    problem: str | None


def inspect(spec: Spec, input_shape: tuple[int, ...] | None = None) -> Inspection:
    """Read the source and say what it is. ``input_shape`` is for PyTorch models, and for sizes that are free.

    A model that cannot be served is described as far as its file tells, with the reason. Raises as
    ``kit generate`` does where there is nothing to describe.
    """
    contract.require_known(spec)
    source = sources.resolve(spec.source)
    source.fingerprint(spec.source)
    written = _as_written(spec.source)
    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        try:
            model = source.load(spec.source, Path(folder), input_shape).model
        except UnsupportedModelError as error:
            if written is None:
                raise
            return _unserved(spec, source.name, written, str(error), input_shape)
        simple = Path(folder) / "simple"
        simple.mkdir()
        network, meaning, problem = simplify.simplify(model, simple), None, None
        try:
            meaning = contract.interpret(spec, network)
        except SourceError as error:
            problem = str(error)
        return _described(spec, source.name, written, model, network, meaning, problem, input_shape)


def _described(
    spec: Spec,
    kind: str,
    written: onnx.ModelProto | None,
    model: Model,
    network: Model,
    meaning: Interpretation | None,
    problem: str | None,
    input_shape: tuple[int, ...] | None,
) -> Inspection:
    import onnx

    exported = onnx.load(str(model.path), load_external_data=False)
    simple = onnx.load(str(network.path), load_external_data=False)
    shapes = _single(model.signature, input_shape)
    return Inspection(
        source=spec.source,
        kind=kind,
        size=_size(spec.source, written) or model.path.stat().st_size,
        anatomy=anatomy.of(exported if written is None else written),
        signature=model.signature,
        dimensions=_dimensions(exported, model.signature),
        batch=_batch(model.signature),
        weights=anatomy.weights(simple),
        cost=flops.count(simple, shapes) if _known(shapes) else Cost(macs=None, unknown=_FREE),
        counted_for=shapes,
        meaning=meaning,
        fused=_fused(network, meaning) if meaning is not None else None,
        labels=labels.from_metadata(model.metadata, meaning.class_count) if meaning is not None else (),
        metadata=model.metadata,
        problem=problem,
    )


def _unserved(
    spec: Spec, kind: str, written: onnx.ModelProto, problem: str, input_shape: tuple[int, ...] | None
) -> Inspection:
    """Return what the file says of a model that nobody here can load."""
    signature = _declared(written)
    shapes = _single(signature, input_shape)
    return Inspection(
        source=spec.source,
        kind=kind,
        size=_size(spec.source, written),
        anatomy=anatomy.of(written),
        signature=signature,
        dimensions=_dimensions(written, signature),
        batch=_batch(signature),
        weights=anatomy.weights(written),
        cost=Cost(macs=None, unknown="the model cannot be loaded"),
        counted_for=shapes,
        meaning=None,
        fused=None,
        labels=(),
        metadata={p.key: p.value for p in written.metadata_props},
        problem=problem,
    )


def _as_written(source: str) -> onnx.ModelProto | None:
    """Return the model in an ONNX file, without what lies beside it; None where the source is none."""
    import onnx
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(Path(source).read_bytes())
    except (OSError, ValueError, DecodeError):
        return None
    return proto if proto.ir_version and proto.graph.node else None


def _size(source: str, written: onnx.ModelProto | None) -> int:
    """Return the bytes of the file and of those beside it that it names; 0 where it is no file."""
    if written is None:
        return 0
    folder = Path(source).parent
    beside = [folder / name for name in anatomy.of(written).external if Path(name).name == name]
    return sum(path.stat().st_size for path in (Path(source), *beside) if path.is_file())


def _declared(proto: onnx.ModelProto) -> Signature:
    """Return the signature that a file declares."""
    weights = {t.name for t in proto.graph.initializer}
    return Signature(
        inputs=tuple(_tensor(value) for value in proto.graph.input if value.name not in weights),
        outputs=tuple(_tensor(value) for value in proto.graph.output),
    )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    import onnx

    kinds = {"FLOAT": "FP32", "FLOAT16": "FP16", "BFLOAT16": "BF16", "DOUBLE": "FP64", "STRING": "BYTES"}
    tensor = value.type.tensor_type
    name = onnx.TensorProto.DataType.Name(tensor.elem_type)
    try:
        dtype = DataType(kinds.get(name, name))
    except ValueError:  # 4 bits, complex numbers ...: Triton has none of them
        dtype = DataType.BYTES
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return Tensor(name=value.name, dtype=dtype, shape=shape)


def _dimensions(proto: onnx.ModelProto, signature: Signature) -> dict[str, tuple[str, ...]]:
    """Return the names of free dimensions as they are declared, and the sizes of the others."""
    declared = {
        value.name: [d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    return {tensor.name: tuple(_named(tensor, declared.get(tensor.name, []))) for tensor in _tensors(signature)}


def _named(tensor: Tensor, declared: list[str]) -> Iterator[str]:
    for position, size in enumerate(tensor.shape):
        name = declared[position] if position < len(declared) else ""
        short = name if name.isidentifier() and len(name) <= 12 else "N" if position == 0 else "?"
        yield str(size) if size != -1 else short


def _tensors(signature: Signature) -> tuple[Tensor, ...]:
    return (*signature.inputs, *signature.outputs)


def _batch(signature: Signature) -> str:
    if signature.batched:
        return "of any size"
    firsts = {t.shape[0] for t in _tensors(signature) if t.shape}
    sizes = firsts - {-1}
    return f"fixed at {sizes.pop()}" if len(firsts) == len(sizes) == 1 else "none: first dimensions differ"


def _single(signature: Signature, given: tuple[int, ...] | None) -> dict[str, tuple[int, ...]]:
    """Return the inputs' shapes for one picture; a ``given`` one is that of the first, without the batch."""
    shapes = {
        t.name: (1 if t.shape[:1] == (-1,) else t.shape[0], *t.shape[1:]) if t.shape else () for t in signature.inputs
    }
    if given is None or not signature.inputs:
        return shapes
    first = signature.inputs[0]
    fits = len(given) == len(first.shape) - 1 and all(
        is_ in (-1, wanted) for is_, wanted in zip(first.shape[1:], given, strict=True)
    )
    return {**shapes, first.name: (shapes[first.name][0], *given)} if fits else shapes


def _known(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return all(size > 0 for shape in shapes.values() for size in shape)


def _fused(network: Model, meaning: Interpretation) -> Fused | None:
    """Say what would be put around the network; None where it is served as it is."""
    import onnx

    image = contract.image_input(network)
    if meaning.contract == "native" or image is None:
        return None
    text = tasks.get(meaning.task).head_graph(replace(network, opset=max(network.opset, _NEWEST_TEXT)), meaning)
    outputs, after = network.signature.outputs, {}
    if text is not None:
        head = onnx.parser.parse_model(text)
        outputs = tuple(_tensor(value) for value in head.graph.output)
        after = {o.name: o.count for o in anatomy.of(head).operators if o.name not in ("Constant", "Identity")}
    first = contract.channels_first(image)
    shape = (image.shape[0], *image.shape[2:], image.shape[1]) if first else image.shape
    frame = Tensor(name=image.name, dtype=DataType.UINT8, shape=shape)
    return Fused(
        before=tuple(_before(image, meaning, planes=first)),
        after=after,
        signature=Signature(inputs=(frame,), outputs=outputs),
    )


def _before(image: Tensor, meaning: Interpretation, *, planes: bool) -> Iterator[str]:
    """Yield in words what happens to a frame."""
    if meaning.color == "bgr":
        yield "RGB to BGR"
    if planes:
        yield "NHWC to NCHW"
    normal = meaning.normalization
    if normal is not None:
        pixel = "pixel / 255" if normal.scale != 1 else "pixel"
        plain = not any(normal.mean) and set(normal.std) == {1.0}
        yield pixel if plain else f"({pixel} - {_short(normal.mean)}) / {_short(normal.std)}"
    if image.dtype is DataType.FP16:
        yield "FP16"


def _short(values: tuple[float, ...]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"
