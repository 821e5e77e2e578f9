"""Reads a Core ML package and computes its program with PyTorch; under the Python of the environment ``coreml``.

Operations and their arguments: https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

# ruff: noqa: PLW0108 (arguments come by the names that Core ML gives them, which PyTorch's are not)

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused

_KINDS = {65552: "float16", 65568: "float32", 65600: "float64", 131104: "int32"}
"""ArrayFeatureType.ArrayDataType of Core ML's Model.proto."""


class _Loaded:
    function: Any = None


def load(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``path``; return what it takes and gives."""
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load as read

    try:
        model = coremltools.models.MLModel(ask.data["path"], skip_model_load=True)
        spec = model.get_spec()
        program = read(
            model_spec=spec, specification_version=spec.specificationVersion, file_weights_dir=model.weights_dir
        )
    except Exception as error:
        raise Refused(" ".join(str(error).split())[:300]) from error
    _Loaded.function = program.functions["main"]
    known = {*_operations(), "const"}
    used = {operation.op_type for operation in _Loaded.function.operations}
    if unknown := sorted(name for name in used - known if not name.startswith("constexpr_")):
        raise Refused(f"{', '.join(unknown)} cannot be computed here; run the package on macOS")
    return {"inputs": _tensors(spec.description.input), "outputs": _tensors(spec.description.output)}, {}


def run(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the outputs by name."""
    import numpy as np
    import torch

    known, values = _operations(), {}
    for name, array in ask.arrays.items():
        values[name] = torch.from_numpy(np.array(array, np.float32 if array.dtype.kind == "f" else array.dtype))
    with torch.no_grad():
        for operation in _Loaded.function.operations:
            if operation.op_type == "const" or operation.op_type.startswith("constexpr_"):
                continue
            arguments = {name: _value(given, values) for name, given in operation.inputs.items() if given is not None}
            made = known[operation.op_type](**arguments)
            parts = made if isinstance(made, (list, tuple)) else [made]
            values.update({part.name: value for part, value in zip(operation.outputs, parts, strict=True)})
    return {}, {out.name: values[out.name].float().numpy() for out in _Loaded.function.outputs}


def _tensors(features: Any) -> list[list[Any]]:
    arrays = [(feature.name, feature.type.multiArrayType) for feature in features]
    return [[name, _KINDS[array.dataType], [int(d) for d in array.shape]] for name, array in arrays]


def _value(given: Any, values: dict[str, Any]) -> Any:
    """Return a tensor that was computed, a constant tensor as FP32, or a plain value."""
    import numpy as np
    import torch

    if isinstance(given, (list, tuple)):
        return [_value(part, values) for part in given]
    if given.name in values:
        return values[given.name]
    value = given.val
    if value is None and given.op is not None and given.op.op_type.startswith("constexpr_"):
        value = given.op.materialized_val_inference()
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return torch.from_numpy(np.array(value, np.float32))
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _operations() -> dict[str, Callable[..., Any]]:
    """Return what computes each operation, by its name and with its arguments."""
    import torch
    from torch.nn import functional

    def tensor(value: Any) -> Any:
        return value if isinstance(value, torch.Tensor) else torch.tensor(value)

    simple: dict[str, Callable[..., Any]] = {
        "add": lambda x, y: tensor(x) + tensor(y),
        "sub": lambda x, y: tensor(x) - tensor(y),
        "mul": lambda x, y: tensor(x) * tensor(y),
        "real_div": lambda x, y: tensor(x) / tensor(y),
        "maximum": lambda x, y: torch.maximum(tensor(x), tensor(y)),
        "minimum": lambda x, y: torch.minimum(tensor(x), tensor(y)),
        "pow": lambda x, y: tensor(x) ** tensor(y),
        "relu": lambda x: functional.relu(x),
        "relu6": lambda x: functional.relu6(x),
        "leaky_relu": lambda x, alpha: functional.leaky_relu(x, alpha),
        "silu": lambda x: functional.silu(x),
        "sigmoid": lambda x: torch.sigmoid(x),
        "sigmoid_hard": lambda x, alpha, beta: (x * alpha + beta).clamp(0, 1),
        "tanh": lambda x: torch.tanh(x),
        "elu": lambda x, alpha: functional.elu(x, alpha),
        "gelu": lambda x, mode="EXACT": functional.gelu(x, approximate="none" if mode == "EXACT" else "tanh"),
        "softmax": lambda x, axis: torch.softmax(x, axis),
        "exp": lambda x: torch.exp(x),
        "sqrt": lambda x: torch.sqrt(x),
        "rsqrt": lambda x, epsilon: torch.rsqrt(x + epsilon),
        "square": lambda x: x * x,
        "clip": lambda x, alpha, beta: x.clamp(alpha, beta),
        "identity": lambda x: x,
        "cast": lambda x, dtype: x.float() if dtype.startswith("fp") else x.to(torch.int32),
    }
    return simple | _layouts() | _layers()


def _layouts() -> dict[str, Callable[..., Any]]:
    """Return operations that move numbers."""
    import torch

    def piece(x: Any, begin: Any, end: Any, stride: Any = None, **masks: Any) -> Any:
        parts, gone = [], []
        for axis in range(x.ndim):
            step = stride[axis] if stride else 1
            first = None if (masks.get("begin_mask") or [0] * x.ndim)[axis] else begin[axis]
            last = None if (masks.get("end_mask") or [0] * x.ndim)[axis] else end[axis]
            if (masks.get("squeeze_mask") or [0] * x.ndim)[axis]:
                parts.append(slice(begin[axis], begin[axis] + 1 or None))
                gone.append(axis)
            else:
                parts.append(slice(first, last, step))
        made = x[tuple(parts)]
        return made.squeeze(tuple(gone)) if gone else made

    return {
        "concat": lambda values, axis, interleave=False: torch.cat(values, axis),  # noqa: ARG005
        "split": lambda x, axis, split_sizes=None, num_splits=None: torch.split(
            x, split_sizes or x.shape[axis] // num_splits, axis
        ),
        "reshape": lambda x, shape: x.reshape([x.shape[i] if s == 0 else s for i, s in enumerate(shape)]),
        "transpose": lambda x, perm: x.permute(perm),
        "expand_dims": lambda x, axes: _expanded(x, axes),
        "squeeze": lambda x, axes=None: x.squeeze() if axes is None else x.squeeze(tuple(axes)),
        "stack": lambda values, axis: torch.stack(values, axis),
        "slice_by_index": piece,
        "slice_by_size": lambda x, begin, size: x[
            tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True))
        ],
    }


def _expanded(x: Any, axes: list[int]) -> Any:
    for axis in sorted(axes):
        x = x.unsqueeze(axis)
    return x


def _layers() -> dict[str, Callable[..., Any]]:
    """Return operations with weights or windows."""
    import torch
    from torch.nn import functional

    def padded(x: Any, pad_type: str, pad: Any, kernel: Any, strides: Any, fill: float) -> Any:
        if pad_type == "valid":
            return x
        if pad_type != "custom":
            totals = [
                max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(x.shape[2:], strides, kernel, strict=True)
            ]
            low = [t - t // 2 if pad_type == "same_lower" else t // 2 for t in totals]
            pad = [side for t, a in zip(totals, low, strict=True) for side in (a, t - a)]
        pairs = [pad[i : i + 2] for i in range(0, len(pad), 2)]
        return functional.pad(x, [side for pair in reversed(pairs) for side in pair], value=fill)

    def conv(x: Any, weight: Any, strides: Any, dilations: Any, groups: int, pad_type: str, pad: Any = None,
             bias: Any = None) -> Any:  # fmt: skip
        kernel = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
        made = getattr(functional, f"conv{x.ndim - 2}d")
        return made(padded(x, pad_type, pad, kernel, strides, 0.0), weight, bias, strides, 0, dilations, groups)

    def max_pool(
        x: Any, kernel_sizes: Any, strides: Any, pad_type: str, pad: Any = None, ceil_mode: bool = False
    ) -> Any:
        made = padded(x, pad_type, pad, kernel_sizes, strides, float("-inf"))
        return functional.max_pool2d(made, kernel_sizes, strides, ceil_mode=ceil_mode)

    def normal(x: Any, mean: Any, variance: Any, gamma: Any = None, beta: Any = None, epsilon: float = 1e-5) -> Any:
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)

    def layer_norm(x: Any, axes: Any, gamma: Any = None, beta: Any = None, epsilon: float = 1e-5) -> Any:
        return functional.layer_norm(x, [x.shape[axis] for axis in axes], gamma, beta, epsilon)

    def product(x: Any, y: Any, transpose_x: bool = False, transpose_y: bool = False) -> Any:
        return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)

    def nearest(x: Any, scale_factor_height: float, scale_factor_width: float) -> Any:
        return functional.interpolate(x, scale_factor=(scale_factor_height, scale_factor_width), mode="nearest")

    return {
        "conv": conv,
        "linear": lambda x, weight, bias=None: functional.linear(x, weight, bias),
        "matmul": product,
        "batch_norm": normal,
        "layer_norm": layer_norm,
        "max_pool": max_pool,
        "upsample_nearest_neighbor": nearest,
        "reduce_mean": lambda x, axes, keep_dims=False: x.mean(tuple(axes), keepdim=keep_dims),
        "reduce_sum": lambda x, axes, keep_dims=False: x.sum(tuple(axes), keepdim=keep_dims),
        "reduce_max": lambda x, axes, keep_dims=False: torch.amax(x, tuple(axes), keepdim=keep_dims),
    }
