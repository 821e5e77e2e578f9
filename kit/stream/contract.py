"""What a model on a server takes and gives: read from its metadata and configuration, or told for foreign models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.errors import ModelContractError, UnknownModelError, suggestion
from kit.stream import decode
from kit.stream.channel import Channel
from kit.stream.decode.interface import Shown
from kit.stream.failures import CallFailedError, Trouble
from kit.stream.pixels import PixelLayout
from kit.types import DataType, Normalization, Tensor, Thresholds

_CHANNELS = (1, 3)
_TAKEN = (DataType.UINT8, DataType.FP16, DataType.FP32)
_PICTURE = 3  # dimensions, without the batch


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """A model, and what a user tells of it. None: read it from the model.

    ``version`` empty: the server chooses. ``size`` is height and width in pixels, for models that take any.
    ``normalization`` and ``color`` (``rgb``, ``bgr``) are for inputs of floats; ``head`` is the layout of a detector's
    raw outputs, as ``kit generate --head`` takes it, ``thresholds`` are for its NMS.
    """

    model: str
    version: str = ""
    task: str | None = None
    size: tuple[int, int] | None = None
    normalization: Normalization | None = None
    color: str | None = None
    head: str | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True, kw_only=True)
class ModelContract:
    """Everything that a request is made and an answer is read with. ``decoder`` is a member of ``kit.stream.decode``.

    ``shown`` holds the outputs, without the batch. ``reason`` says what they were recognised by. ``extensions`` are
    the server's own words for what it offers.
    """

    model: str
    version: str
    versions: tuple[str, ...]
    pixels: PixelLayout
    shown: Shown
    decoder: str
    task: str
    reason: str
    thresholds: Thresholds
    server: str
    extensions: tuple[str, ...]


def read(channel: Channel, options: ModelOptions, timeout_s: float) -> ModelContract:
    """Ask the server about a model.

    Raises ``CallFailedError`` where the server or the model is not there (yet), ``UnknownModelError`` where the server
    knows no such model, and ``ModelContractError``, ``UnknownTaskError`` and ``UnknownHeadError`` where frames cannot
    be sent to it as asked.
    """
    server = channel.server(timeout_s)
    try:
        metadata = channel.metadata(options.model, timeout_s, options.version)
        config = channel.config(options.model, timeout_s, options.version).config
    except CallFailedError as error:
        if error.failure.trouble is not Trouble.UNKNOWN_MODEL:
            raise
        raise UnknownModelError(_unknown(channel, options, timeout_s)) from error
    told = config.parameters["kit_task"].string_value if "kit_task" in config.parameters else None
    return interpret(metadata, options, told=told, server=server)


def interpret(metadata: Any, options: ModelOptions, *, told: str | None, server: Any) -> ModelContract:
    """Return what a ``ModelMetadataResponse`` means. ``told`` is the task that the model's configuration names.

    Raises ``ModelContractError``, ``UnknownTaskError`` and ``UnknownHeadError``.
    """
    name, dtype, shape, batched = _picture(metadata, options.model)
    channels_first = _channels_first(name, shape, options.model)
    height, width = _size(shape[1:] if channels_first else shape[:2], options)
    outputs = tuple(_output(tensor, batched=batched) for tensor in metadata.outputs)
    shown = Shown(outputs=outputs, height=height, width=width, head=options.head)
    decoder, found = decode.choose(shown, options.task or told or ("detect" if options.head else None))
    return ModelContract(
        model=options.model,
        version=options.version,
        versions=tuple(metadata.versions),
        pixels=PixelLayout(
            name=name,
            dtype=dtype,
            height=height,
            width=width,
            channels=shape[0] if channels_first else shape[2],
            channels_first=channels_first,
            batched=batched,
            normalization=options.normalization or (found.normalization if dtype.is_float else None),
            color=options.color or (found.color if dtype.is_float else "rgb"),
        ),
        shown=shown,
        decoder=decoder.name,
        task=decoder.task,
        reason=found.reason,
        thresholds=options.thresholds,
        server=f"{server.name} {server.version}".strip(),
        extensions=tuple(server.extensions),
    )


def _picture(metadata: Any, model: str) -> tuple[str, DataType, tuple[int, ...], bool]:
    """Return the only input's name, type and shape without the batch, and whether requests carry a batch of 1."""
    if len(metadata.inputs) != 1:
        raise ModelContractError(
            f"{model} takes {len(metadata.inputs)} inputs ({', '.join(t.name for t in metadata.inputs)}); "
            "a camera gives one: serve an ensemble that makes the others"
        )
    tensor = metadata.inputs[0]
    shape, dtype = tuple(tensor.shape), DataType(tensor.datatype)
    batched = len(shape) == _PICTURE + 1
    if dtype not in _TAKEN or (not batched and len(shape) != _PICTURE):
        raise ModelContractError(
            f"{model} takes {tensor.name} {tensor.datatype} {list(shape)}, which is no picture; a camera can feed "
            f"{', '.join(t.value for t in _TAKEN)} of [N, H, W, 3] or [N, 3, H, W]"
        )
    if batched and shape[0] not in (-1, 1):
        raise ModelContractError(
            f"{model} takes {shape[0]} frames at once, always; export it with a batch of 1 or of any size"
        )
    return tensor.name, dtype, shape[1:] if batched else shape, batched


def _channels_first(name: str, shape: Sequence[int], model: str) -> bool:
    """Return where the colours are; a last dimension of 1 or 3 is taken first, as frames have it."""
    if shape[2] in _CHANNELS:
        return False
    if shape[0] in _CHANNELS:
        return True
    raise ModelContractError(f"{model} takes {name} {list(shape)}, which has no dimension of 1 or 3 colours")


def _size(fixed: Sequence[int], options: ModelOptions) -> tuple[int, int]:
    height, width = fixed
    if height > 0 and width > 0:
        if options.size is not None and options.size != (height, width):
            raise ModelContractError(f"{options.model} takes frames of {width} x {height} only; leave the size out")
        return height, width
    if options.size is None:
        raise ModelContractError(f"{options.model} takes frames of any size; say which, for example 640x640")
    return options.size


def _output(tensor: Any, *, batched: bool) -> Tensor:
    shape = tuple(tensor.shape)
    one = batched and shape and shape[0] in (-1, 1)
    return Tensor(name=tensor.name, dtype=DataType(tensor.datatype), shape=shape[1:] if one else shape)


def _unknown(channel: Channel, options: ModelOptions, timeout_s: float) -> str:
    try:
        ready = channel.models(timeout_s)
    except CallFailedError:
        ready = ()
    if options.model in ready:
        return f"the server at {channel.url} has {options.model}, but no version {options.version} that is ready"
    has = suggestion(options.model, ready) if ready else "it has none that is ready"
    return f'the server at {channel.url} has no model "{options.model}"; {has}'
