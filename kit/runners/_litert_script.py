"""Runs a LiteRT model by its own interpreter; under the Python of the environment ``litert``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused


class _Loaded:
    runner: Any = None


def load(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``path`` and return what it takes and gives."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=ask.data["path"], num_threads=ask.data["threads"] or None)
        interpreter.allocate_tensors()
        _Loaded.runner = interpreter.get_signature_runner()
    except (ValueError, RuntimeError) as error:
        raise Refused(" ".join(str(error).split())[:300]) from error
    given, made = _Loaded.runner.get_input_details(), _Loaded.runner.get_output_details()
    return {"inputs": _tensors(given), "outputs": _tensors(made)}, {}


def run(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the outputs by name. Integers that stand for numbers are given and taken as those numbers."""
    runner = _Loaded.runner
    given, made = runner.get_input_details(), runner.get_output_details()
    try:
        feeds = {name: _quantised(value, given[name]) for name, value in ask.arrays.items()}
        return {}, {name: _number(value, made[name]) for name, value in runner(**feeds).items()}
    except (KeyError, ValueError, RuntimeError) as error:
        raise Refused(" ".join(str(error).split())[:300]) from error


def _scale(detail: Any) -> tuple[float, int] | None:
    """Return scale and zero point of a tensor of integers that stand for numbers; None of any other."""
    scale, zero = detail["quantization"]
    return (scale, zero) if scale else None


def _quantised(value: Any, detail: Any) -> Any:
    import numpy as np

    if (found := _scale(detail)) is None or value.dtype.kind != "f":
        return value
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(value / found[0]) + found[1], limits.min, limits.max).astype(detail["dtype"])


def _number(value: Any, detail: Any) -> Any:
    found = _scale(detail)
    return value if found is None else (value.astype("float32") - found[1]) * found[0]


def _tensors(details: Any) -> list[list[Any]]:
    import numpy as np

    return [
        [
            name,
            "float32" if _scale(detail) else np.dtype(detail["dtype"]).name,
            [int(size) for size in detail["shape_signature"]],
        ]
        for name, detail in details.items()
    ]
