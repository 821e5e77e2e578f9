"""config.pbtxt for one model on one target: ``config_context`` decides everything, the template only lays it out.

The rules are Triton's; where one is not obvious, the comment links to where Triton enforces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kit import templating
from kit.errors import UnsupportedModelError
from kit.targets.values import Accelerator, Backend, Target
from kit.types import DIGEST_PARAMETER, DataType, Signature, Spec, Tensor

_TEMPLATE = "config.pbtxt.j2"


@dataclass(frozen=True, kw_only=True)
class TensorConfig:
    """An input or output as config.pbtxt has it: ``dims`` without the batch dimension where Triton batches."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    format: str | None = None
    label_filename: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConfigContext:
    """Everything that the template writes, in its order; None and empty: the block is left out.

    ``comments`` are the lines at the head of the file: what runs it, and what was left out and why.
    ``max_queue_delay_us`` is None where requests are not batched. ``versions`` are those to serve; empty: the latest.
    """

    comments: tuple[str, ...]
    name: str
    backend: str
    model_filename: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    versions: tuple[int, ...]
    instance_count: int
    instance_kind: str
    max_queue_delay_us: int | None
    accelerator: Accelerator | None
    parameters: Mapping[str, str]
    warmup_batches: tuple[int, ...]


def render_config(context: ConfigContext) -> str:
    """Return the text of config.pbtxt. Equal contexts, equal bytes."""
    return render(_TEMPLATE, context)


def make_ready() -> None:
    """Compile the template: most of what the first configuration takes."""
    templating.compiled(_TEMPLATE, _FILTERS)


def config_context(
    *,
    name: str,
    signature: Signature,
    backend: Backend,
    target: Target,
    spec: Spec,
    model_filename: str,
    label_filename: str | None = None,
    label_output: str | None = None,
    versions: Sequence[int] = (),
    digest: str | None = None,
) -> ConfigContext:
    """Decide what a model's configuration says on a target.

    What the spec leaves open is the target's default. ``label_filename`` is named on the output ``label_output``.
    ``versions`` are served where given, else the latest. ``digest`` is the model file's.

    Raises:
        UnsupportedModelError: The spec asks for batches of a model without a batch dimension, or a tensor has a
            dimension of size 0, which Triton cannot express.
    """
    size = max_batch_size(signature, backend, target, spec)
    inputs = tuple(_tensor_config(t, size, with_format=True) for t in signature.inputs)
    outputs = tuple(_tensor_config(t, size) for t in signature.outputs)
    if label_filename is not None and label_output is not None:
        outputs = _with_labels(outputs, label_filename, label_output)
    warmup, no_warmup = _warmup_batches(inputs, size)
    return ConfigContext(
        comments=(*_how_to_serve(target), *_remark_on_engines(inputs, backend, target), *no_warmup),
        name=name,
        backend=backend.name,
        model_filename=model_filename,
        max_batch_size=size,
        inputs=inputs,
        outputs=outputs,
        versions=tuple(versions),
        instance_count=_given(spec.instance_count, target.defaults.instance_count),
        instance_kind=backend.instance_kind,
        max_queue_delay_us=_given(spec.max_queue_delay_us, target.defaults.max_queue_delay_us) if size > 1 else None,
        accelerator=_accelerator(backend, target, spec, _cache_prefix(backend, digest)),
        parameters=_parameters(backend, target, spec, digest),
        warmup_batches=warmup,
    )


def max_batch_size(signature: Signature, backend: Backend, target: Target, spec: Spec) -> int:
    """Return the largest batch that Triton may form; 0 where the model's first dimension is not the batch.

    Raises:
        UnsupportedModelError: The spec asks for more than the model or the backend can do.
    """
    asked = spec.max_batch_size
    if not signature.batched:
        if asked:
            raise UnsupportedModelError(
                f"max_batch_size {asked}: {_without_batch(signature)} has no batch dimension; "
                "export the model with a dynamic first dimension on every input and output, or leave max_batch_size out"
            )
        return 0
    if backend.name != "openvino":
        return _given(asked, target.defaults.max_batch_size)
    # OpenVINO compiles the network for max_batch_size and answers no other batch:
    # https://github.com/triton-inference-server/server/issues/7363
    if asked is not None and asked > 1:
        raise UnsupportedModelError(
            f"max_batch_size {asked}: Triton's OpenVINO backend answers only full batches; "
            "use 1 and more instances, or the onnxruntime backend"
        )
    return _given(asked, min(1, target.defaults.max_batch_size))


def render(template: str, context: object) -> str:
    """Fill a template of ``templates/`` with the fields of a dataclass; a name that is missing is an error."""
    return templating.render(template, context, _FILTERS)


def quote(text: str) -> str:
    """Return a protobuf string literal; quotes, backslashes and control characters are escaped, the rest is UTF-8."""
    return '"' + "".join(_escaped(c) for c in text) + '"'


def numbers(values: Sequence[int]) -> str:
    """Return a protobuf list of numbers: ``[ 480, 640, 3 ]``, ``[]``."""
    return f"[ {', '.join(str(v) for v in values)} ]" if values else "[]"


_FILTERS = (quote, numbers)


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    # Control characters (C0, DEL, C1) as the octal of their UTF-8 bytes: the one form that C++ and Python both read.
    if ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0:
        return "".join(f"\\{byte:03o}" for byte in character.encode())
    return character


def _given(asked: int | None, default: int) -> int:
    return default if asked is None else asked


def _how_to_serve(target: Target) -> tuple[str, ...]:
    options = f"--model-repository=model_repository --model-config-name={target.name} --disable-auto-complete-config"
    return (f"For {target.name}: {target.device.description}.", f"tritonserver {options}")


def _without_batch(signature: Signature) -> str:
    tensor = next(t for t in (*signature.inputs, *signature.outputs) if t.shape[:1] != (-1,))
    return f'"{tensor.name}" {list(tensor.shape)}'


def _tensor_config(tensor: Tensor, size: int, *, with_format: bool = False) -> TensorConfig:
    if 0 in tensor.shape:
        raise UnsupportedModelError(
            f'"{tensor.name}" {list(tensor.shape)} is always empty, and Triton takes no dimension of 0; '
            "remove this tensor from the model"
        )
    dims = tensor.shape[1:] if size > 0 else tensor.shape
    # One number per image has no dimension left, but dims may not be empty: dims [1], reshaped away for the model.
    # A scalar of a model without batches must be dims [1] alone: Triton refuses the empty reshape there.
    return TensorConfig(
        name=tensor.name,
        data_type=tensor.dtype.config_name,
        dims=dims or (1,),
        reshape=() if size > 0 and not dims else None,
        format="FORMAT_NHWC" if with_format and _is_frame(tensor.dtype, dims) else None,
    )


def _with_labels(outputs: tuple[TensorConfig, ...], filename: str, output: str) -> tuple[TensorConfig, ...]:
    if output not in {t.name for t in outputs}:
        raise ValueError(f'labels for "{output}", which is no output')
    return tuple(replace(t, label_filename=filename) if t.name == output else t for t in outputs)


def _is_frame(dtype: DataType, dims: tuple[int, ...]) -> bool:
    """Whether an input is one camera frame, ``[H, W, C] uint8``; Triton takes a format with exactly 3 dims only."""
    return dtype is DataType.UINT8 and len(dims) == 3 and dims[2] in (1, 3, 4)


def _accelerator(backend: Backend, target: Target, spec: Spec, more: Mapping[str, str]) -> Accelerator | None:
    if backend.accelerator is None or backend.accelerator.name != "tensorrt":
        return backend.accelerator
    parameters = {**backend.accelerator.parameters, **_precision_mode(target, spec), **more}
    return replace(backend.accelerator, parameters=parameters)


def _precision_mode(target: Target, spec: Spec) -> Mapping[str, str]:
    """Return the builder's switch that an FP16 or Q/DQ graph needs before TensorRT 11; since then there is none.

    https://docs.nvidia.com/deeplearning/tensorrt/11.4.0/api/migration/tensorrt-10x-to-11x-c-api-reference.html
    """
    major = int((target.stack.tensorrt_version or "11").split(".")[0])
    precision = spec.precision or target.defaults.precision
    return {} if major >= 11 or precision == "fp32" else {"precision_mode": precision.upper()}


def _cache_prefix(backend: Backend, digest: str | None) -> Mapping[str, str]:
    """Return what keeps one model's cached engines from another's.

    ONNX Runtime names an engine by the model's file name, its node names and the versions of the libraries, not by
    the weights (TRTGenerateId in onnxruntime/core/providers/tensorrt): a retrained model would get the old engine.
    """
    cached = backend.accelerator and backend.accelerator.parameters.get("trt_engine_cache_enable") == "1"
    return {"trt_engine_cache_prefix": digest[:16]} if cached and digest else {}


def _remark_on_engines(inputs: tuple[TensorConfig, ...], backend: Backend, target: Target) -> tuple[str, ...]:
    """Say it where engines will be built while requests wait.

    No ``trt_profile_*_shapes`` are given: ONNX Runtime refuses to load a model with them unless they name every
    dynamic input of every part that it cuts the graph into (TensorRT takes neither NMS nor all of the UINT8
    operators), and where it cuts is known on the device only. Without them TensorRT learns the range of batch sizes
    from the warmup, and the engines are kept in the cache. Only shapes that the warmup cannot know remain.
    https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html#explicit-shape-range
    """
    if backend.name == "tensorrt":
        return (f"Its engine is built on the device: kit build model_repository --target {target.name}",)
    if backend.accelerator is None or backend.accelerator.name != "tensorrt":
        return ()
    varying = [quote(t.name) for t in inputs if -1 in t.dims]
    return tuple(f"TensorRT builds an engine anew when a larger {name} arrives." for name in varying)


def _parameters(backend: Backend, target: Target, spec: Spec, digest: str | None) -> Mapping[str, str]:
    threads = str(_given(spec.intra_op_threads, target.defaults.intra_op_threads))
    parameters: dict[str, str] = {}
    if backend.name == "onnxruntime":
        # Graphs run one operator after the other, so that a second pool would only take memory.
        parameters = {"intra_op_thread_count": threads, "inter_op_thread_count": "1"}
    if backend.name == "openvino" and threads != "0":
        parameters = {"INFERENCE_NUM_THREADS": threads}
    return {**parameters, **({DIGEST_PARAMETER: digest} if digest else {})}


def _warmup_batches(inputs: tuple[TensorConfig, ...], size: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the batch sizes to run before the model is ready, 1, 2, 4 ... and the largest; or why none is.

    Triton skips a sample of batch size 0 without a word, and refuses dims of -1.
    """
    for tensor in inputs:
        if -1 in tensor.dims:
            return (), (f"No warmup: input {quote(tensor.name)} varies in size.",)
        if tensor.data_type == DataType.BYTES.config_name:
            return (), (f"No warmup: input {quote(tensor.name)} is text.",)
    if not inputs:
        return (), ()
    powers = [1 << exponent for exponent in range(max(size, 1).bit_length())]
    return tuple(sorted({*powers, max(size, 1)})), ()
