"""config.pbtxt as its consumer reads it: parsed by protobuf itself, held to Triton's rules, or made a load request.

Where Triton has a message of its own for a problem, it is kept word for word, so that a search finds it:
https://github.com/triton-inference-server/core (src/model_config_utils.cc) and
https://github.com/triton-inference-server/onnxruntime_backend (src/onnxruntime.cc).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import BadRepositoryError, suggestion
from kit.targets.values import Target
from kit.types import Signature, Tensor

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput


def parse(text: str) -> ModelConfig:
    """Return the message that Triton makes of a config.pbtxt.

    Raises:
        BadRepositoryError: It is not protobuf text, or names a field that Triton does not know; with the line.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2  # not from the module: kit.verify imports the package meanwhile

    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise BadRepositoryError(f"config.pbtxt: Error parsing text-format inference.ModelConfig: {error}") from error


def to_load_override(text: str) -> str:
    """Return a config.pbtxt as the JSON that Triton's load request takes as ``config``.

    Fields have their own names and 64-bit numbers are strings, which a real server was seen to accept.
    ``max_batch_size`` is written even where it is 0. The override replaces the whole configuration, and stays
    until the model's files change.
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md#load

    Raises:
        BadRepositoryError: As ``parse``.
    """
    from google.protobuf import json_format

    config = parse(text)
    fields = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return json.dumps({**fields, "max_batch_size": config.max_batch_size}, ensure_ascii=False)


def check_config(
    text: str, *, name: str, signature: Signature, target: Target, folder: Path | None = None
) -> tuple[str, ...]:
    """Return what Triton would refuse in a freshly rendered config.pbtxt, one line each; nothing where it is right.

    ``signature`` is the model's, by its session and not by its file: ONNX Runtime infers more than a file declares.
    ``folder`` is the model's, where it is there already: version folders, model files and labels are looked for.
    """
    try:
        config = parse(text)
    except BadRepositoryError as error:
        return (str(error),)
    problems = [
        *_identity(config, name),
        *_batching(config),
        *_instances(config, target),
        *_tensors(config, "input", signature.inputs),
        *_tensors(config, "output", signature.outputs),
        *_warmup(config),
    ]
    if not re.search(r"^max_batch_size\s*:", text, re.MULTILINE):
        problems.append("max_batch_size is not written: Triton may then choose one; write it, also where it is 0")
    if folder is not None:
        problems += _files(config, folder)
    return tuple(problems)


def _identity(config: ModelConfig, name: str) -> Iterator[str]:
    if config.name != name:
        yield (f"unexpected directory name '{name}' for model '{config.name}', directory name must equal model name")
    if not config.backend:
        yield "must specify 'backend'"
    if not config.default_model_filename:
        yield "must specify 'default_model_filename'"


def _batching(config: ModelConfig) -> Iterator[str]:
    if config.max_batch_size < 0:
        yield f"'max_batch_size' must be non-negative value for {config.name}"
    if config.HasField("dynamic_batching"):
        if config.max_batch_size == 0:
            yield "dynamic_batching with max_batch_size 0 batches nothing; remove it, or set max_batch_size"
        if any(size > config.max_batch_size for size in config.dynamic_batching.preferred_batch_size):
            yield f"dynamic batching preferred size must be <= max batch size for {config.name}"


def _instances(config: ModelConfig, target: Target) -> Iterator[str]:
    from tritonclient.grpc import model_config_pb2

    backend = target.backend(config.backend)
    if backend is None:
        yield f'{target.name} has no backend "{config.backend}"; {suggestion(config.backend, _backend_names(target))}'
        return
    for group in config.instance_group:
        kind = model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind)
        if kind != backend.instance_kind:
            yield f"instance group has kind {kind}; {config.backend} on {target.name} needs {backend.instance_kind}"
        if group.count < 1:
            yield f"instance group has count {group.count}; write at least 1"
    if not config.instance_group:
        yield "no instance_group: Triton would choose the device and the count"


def _backend_names(target: Target) -> Iterable[str]:
    return [b.name for b in target.backends]


def _tensors(config: ModelConfig, kind: str, expected: tuple[Tensor, ...]) -> Iterator[str]:
    configured = {t.name: t for t in getattr(config, kind)}
    known = {t.name: t for t in expected}
    allowed = ", ".join(known)
    for name in configured:
        if name not in known:
            yield f"unexpected inference {kind} '{name}', allowed {kind}s are: {allowed}"
    if kind == "input" and len(configured) != len(known):
        yield (
            f"unable to load model '{config.name}', configuration expects {len(configured)} inputs, "
            f"model provides {len(known)}"
        )
    for name, tensor in known.items():
        if name in configured:
            yield from _tensor(config, kind, configured[name], tensor)


def _tensor(config: ModelConfig, kind: str, configured: ModelInput | ModelOutput, expected: Tensor) -> Iterator[str]:
    from tritonclient.grpc import model_config_pb2

    name = expected.name
    if not configured.dims:
        yield f"model {kind} '{name}' must specify 'dims'"
        return
    if any(d < 1 and d != -1 for d in configured.dims):
        yield f"model {kind} '{name}' dimension must be integer >= 1, or -1 to indicate a variable-size dimension"
    data_type = model_config_pb2.DataType.Name(configured.data_type)
    if data_type != expected.dtype.config_name:
        yield (
            f"unable to load model '{config.name}', configuration expects datatype {data_type} for {kind} '{name}', "
            f"model provides {expected.dtype.config_name}"
        )
    yield from _shape(config.name, kind, configured, expected, config.max_batch_size)


def _shape(model: str, kind: str, configured: ModelInput | ModelOutput, expected: Tensor, size: int) -> Iterator[str]:
    reshaped = configured.HasField("reshape")
    if reshaped and not configured.reshape.shape and size == 0:
        yield (
            f"model {kind} '{expected.name}' cannot have empty reshape for non-batching model as scalar tensors are "
            "not supported"
        )
        return
    dims = tuple(configured.reshape.shape if reshaped else configured.dims)
    full = (-1, *dims) if size > 0 else dims
    tensor = f"model '{model}', tensor '{expected.name}'"
    if size > 0 and expected.shape[:1] != (-1,):
        yield (
            f"{tensor}: for the model to support batching the shape should have at least 1 dimension and the first "
            f"dimension must be -1; but shape expected by the model is {_triton_shape(expected.shape)}"
        )
    elif not _fits(kind, full, expected.shape):
        head = f"{tensor}: the model expects {len(expected.shape)} dimensions (shape {_triton_shape(expected.shape)})"
        batch = "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making"
        shape = f"{batch} complete shape {_triton_shape(full)}" if size > 0 else f"shape {_triton_shape(full)}"
        yield f"{head} but the model configuration specifies {len(full)} dimensions ({shape})"


def _fits(kind: str, configured: tuple[int, ...], model: tuple[int, ...]) -> bool:
    """Whether ONNX Runtime's backend takes a shape: outputs are the model's, a variable input may be narrowed."""
    if model == ():
        return set(configured) == {1}
    if len(configured) != len(model):
        return False
    return all(c == m or (kind == "input" and m == -1) for c, m in zip(configured, model, strict=True))


def _triton_shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(str(d) for d in shape)}]"


def _warmup(config: ModelConfig) -> Iterator[str]:
    largest = max(config.max_batch_size, 1)
    for sample in config.model_warmup:
        if not 1 <= sample.batch_size <= largest:
            yield (
                f"warmup '{sample.name}' has batch_size {sample.batch_size}: Triton skips 0 in silence and refuses "
                f"more than max_batch_size; write 1 to {largest}"
            )
        for tensor in config.input:
            if tensor.name not in sample.inputs:
                yield f"warmup '{sample.name}' has no data for input '{tensor.name}'"
        for name, value in sample.inputs.items():
            if -1 in value.dims:
                yield f"warmup setting expects all variable-size dimensions are specified for input '{name}'"


def _served(config: ModelConfig, versions: list[Path]) -> list[Path]:
    """Return the versions (given oldest first) that a policy serves: an old one may have files of other names."""
    policy = config.version_policy
    if policy.HasField("all"):
        return versions
    if policy.HasField("specific"):
        return [version for version in versions if int(version.name) in policy.specific.versions]
    return versions[-max(1, policy.latest.num_versions) :]


def _files(config: ModelConfig, folder: Path) -> Iterator[str]:
    versions = sorted((p for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()), key=lambda p: int(p.name))
    if not versions:
        yield f"at least one version must be available under the version policy of model '{config.name}'"
    for version in _served(config, versions):
        # An engine is built on the device, after this: `kit serve` asks for it.
        if config.backend != "tensorrt" and not (version / config.default_model_filename).exists():
            yield f"version {version.name} has no {config.default_model_filename}, which default_model_filename names"
    for output in config.output:
        if output.label_filename and not (folder / output.label_filename).is_file():
            yield f"output '{output.name}' names labels in {output.label_filename}, which is not in {folder.name}/"
