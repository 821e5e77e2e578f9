"""What Triton's own backends refuse when a model is loaded, in their words, and what they fill in.

A model that loads here must load in a real Triton: a backend that took whatever works would hide mistakes.
Source of rules and messages: onnxruntime_backend ``src/onnxruntime.cc`` (ValidateInputs, ValidateOutputs,
AutoCompleteMaxBatch), ``src/onnxruntime_utils.cc`` (CompareDimsSupported), backend ``src/backend_common.cc``
(CheckAllowedModelInput), and openvino_backend ``src/openvino_utils.cc``, all as of release 26.06.

Shapes are the runtime's own, inferred ones; -1 is a dimension of variable size; ``[]`` is a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The real backend's --backend-config default, used when batching is completed.
DEFAULT_MAX_BATCH_SIZE = 4

# ModelConfig, as Triton's JSON gives it: it is read here and turned into values at once.
Config = Mapping[str, Any]


class Refused(Exception):  # noqa: N818 (it is no error of ours: it is what Triton says)
    """The configuration and the model do not fit; the message is Triton's."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of the loaded model; ``dtype`` is Triton's (``FP32``, ``BYTES``), "" if it has none."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def config_dtype(self) -> str:
        """Return the type as a configuration writes it."""
        return "TYPE_STRING" if self.dtype == "BYTES" else f"TYPE_{self.dtype or 'INVALID'}"


@dataclass(frozen=True)
class Signature:
    """What the loaded model takes and gives; ``overridable`` are initializers that a request may replace."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    overridable: tuple[TensorInfo, ...] = ()


# model's name, the model's tensor, configured dims, max_batch_size, whether it is an output
Compare = Callable[[str, TensorInfo, Sequence[int], int, bool], None]


@dataclass(frozen=True)
class Rules:
    """How one backend compares: its dims, the types that it has not, and whether it converts types by itself."""

    compare: Compare
    unknown_types: tuple[str, ...] = ("TYPE_INVALID",)
    converts_types: bool = False


def check_inputs(config: Config, signature: Signature, rules: Rules) -> None:
    """Raise ``Refused`` where the real backend would refuse the configured inputs."""
    _check_supported(config)
    name, batch = str(config["name"]), int(config["max_batch_size"])
    expected = _expected_inputs(config)
    if len(signature.inputs) != expected:
        raise Refused(
            f"unable to load model '{name}', configuration expects {expected} inputs, "
            f"model provides {len(signature.inputs)}"
        )
    allowed = {t.name: t for t in (*signature.inputs, *signature.overridable)}
    for tensor in config.get("input", ()):
        if tensor.get("optional") and batch:
            raise Refused(
                f"unable to load model '{name}', optional input '{tensor['name']}' is not supported for models "
                "that support batching"
            )
        _check_tensor(config, tensor, allowed, "input", rules)


def check_outputs(config: Config, signature: Signature, rules: Rules) -> None:
    """Raise ``Refused`` where the real backend would refuse the configured outputs, which may be a subset."""
    allowed = {t.name: t for t in signature.outputs}
    for tensor in config.get("output", ()):
        _check_tensor(config, tensor, allowed, "output", rules)


def _check_supported(config: Config) -> None:
    """Refuse what these backends do not do, although the real ones can."""
    name = config["name"]
    ragged = [t["name"] for t in config.get("input", ()) if t.get("allow_ragged_batch")]
    states = config.get("sequence_batching", {}).get("state")
    for feature, used in (
        ("allow_ragged_batch", ragged),
        ("batch_input", config.get("batch_input")),
        ("batch_output", config.get("batch_output")),
        ("sequence_batching.state", states),
    ):
        if used:
            raise Refused(f"model '{name}' uses {feature}, which the embedded server does not offer; use a real Triton")


def _expected_inputs(config: Config) -> int:
    """Return how many inputs the model must have: sequence controls arrive as tensors, too."""
    controls = config.get("sequence_batching", {}).get("control_input", ())
    return len(controls) + sum(1 for t in config.get("input", ()) if not t.get("optional"))


def _check_tensor(
    config: Config, tensor: Config, allowed: Mapping[str, TensorInfo], direction: str, rules: Rules
) -> None:
    model, name, dtype = config["name"], tensor["name"], tensor["data_type"]
    if name not in allowed:
        names = ", ".join(sorted(allowed))
        raise Refused(f"unexpected inference {direction} '{name}', allowed {direction}s are: {names}")
    provided = allowed[name]
    if dtype in rules.unknown_types:
        raise Refused(f"unsupported datatype {dtype} for {direction} '{name}' for model '{model}'")
    if dtype != provided.config_dtype and not rules.converts_types:
        raise Refused(
            f"unable to load model '{model}', configuration expects datatype {dtype} for {direction} '{name}', "
            f"model provides TYPE_{provided.dtype or '<invalid>'}"
        )
    dims = config_dims(tensor)
    if provided.shape:
        rules.compare(model, provided, dims, int(config["max_batch_size"]), direction == "output")
    elif any(dim != 1 for dim in dims):
        raise Refused(
            f"unable to load model '{model}', scalar tensor '{name}', should only provide 1 in the model configuration "
            f"when the model doesn't support batching. Model configuration provided: {shape_text(dims)}."
        )


def config_dims(tensor: Config) -> tuple[int, ...]:
    """Return the model's side of a tensor's shape, without the batch: ``reshape`` goes before ``dims``."""
    reshape = tensor.get("reshape")
    return tuple(int(d) for d in (tensor["dims"] if reshape is None else reshape.get("shape", ())))


def _compare_onnxruntime(model: str, provided: TensorInfo, dims: Sequence[int], batch: int, exact: bool) -> None:
    """An input may be narrower than the model, an output must be equal to it."""
    if batch > 0 and provided.shape[0] != -1:
        raise Refused(
            f"model '{model}', tensor '{provided.name}': for the model to support batching the shape should have at "
            "least 1 dimension and the first dimension must be -1; but shape expected by the model is "
            f"{shape_text(provided.shape)}"
        )
    full = (-1, *dims) if batch > 0 else tuple(dims)
    fits = len(full) == len(provided.shape) and all(
        model_dim == dim or (model_dim == -1 and not exact) for model_dim, dim in zip(provided.shape, full, strict=True)
    )
    if not fits:
        raise _other_dims(model, provided, full, batch)


def _compare_openvino(model: str, provided: TensorInfo, dims: Sequence[int], batch: int, exact: bool) -> None:
    """The batch is fixed by now, so only outputs compare it; -1 on an input's side means any."""
    full = (batch, *dims) if batch > 0 else tuple(dims)
    fits = len(full) == len(provided.shape) and all(
        model_dim in (dim, -1) or (batch > 0 and not exact and (axis == 0 or dim == -1))
        for axis, (model_dim, dim) in enumerate(zip(provided.shape, full, strict=True))
    )
    if not fits:
        raise _other_dims(model, provided, full, batch)


def _other_dims(model: str, provided: TensorInfo, full: Sequence[int], batch: int) -> Refused:
    complete = (
        "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making "
        f"complete shape {shape_text(full)})"
    )
    return Refused(
        f"model '{model}', tensor '{provided.name}': the model expects {len(provided.shape)} dimensions (shape "
        f"{shape_text(provided.shape)}) but the model configuration specifies {len(full)} dimensions "
        f"{complete if batch > 0 else f'(shape {shape_text(full)})'}"
    )


ONNXRUNTIME = Rules(_compare_onnxruntime)
OPENVINO = Rules(_compare_openvino, ("TYPE_INVALID", "TYPE_FP64", "TYPE_BF16", "TYPE_STRING"), converts_types=True)


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as Triton prints it: ``[-1,3,640,640]``."""
    return f"[{','.join(str(d) for d in shape)}]"


def complete(config: Any, signature: Signature, *, may_batch: bool | None = None) -> None:
    """Fill in inputs, outputs and batching of ``pb_utils.ModelConfig`` as the real backend does.

    ``may_batch`` overrides the rule that every tensor must begin with a dimension of variable size.
    Raises ``Refused`` where the model cannot batch and the configuration asks for it.
    """
    current = config.as_dict()
    if current["input"] and current["output"]:
        return
    if may_batch is None:
        may_batch = all(t.shape[:1] == (-1,) for t in (*signature.inputs, *signature.outputs))
    if not may_batch and current["max_batch_size"]:
        raise Refused(
            f"autofill failed for model '{current['name']}': model does not support batching while non-zero "
            "max_batch_size is specified"
        )
    batch = current["max_batch_size"] or (DEFAULT_MAX_BATCH_SIZE if may_batch else 0)
    config.set_max_batch_size(batch)
    if batch > 1 and "sequence_batching" not in current:
        config.set_dynamic_batching()
    for key, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        if not current[key]:
            # ModelConfig.add_input knows no "reshape", which a scalar for each image needs.
            current[key].extend(_completed(tensor, batch) for tensor in tensors)


def _completed(tensor: TensorInfo, batch: int) -> dict[str, Any]:
    dims = list(tensor.shape[1:] if batch > 0 else tensor.shape)
    entry: dict[str, Any] = {"name": tensor.name, "data_type": tensor.config_dtype, "dims": dims or [1]}
    if not dims and batch > 0:
        entry["reshape"] = {"shape": []}
    return entry


def parameter(config: Config, name: str, default: str = "") -> str:
    """Return a string of ``parameters``, or ``default``."""
    entry = config.get("parameters", {}).get(name)
    return default if entry is None else str(entry.get("string_value", default))


def integer_parameter(config: Config, name: str, default: int = 0) -> int:
    """Return a number of ``parameters``. Raises ``Refused`` in the words of ``ParseIntValue``."""
    text = parameter(config, name)
    try:
        return int(text) if text else default
    except ValueError as error:
        raise Refused(f"failed to convert '{text}' to integral number") from error
