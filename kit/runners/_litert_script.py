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
    """Return the outputs by name."""
    try:
        return {}, dict(_Loaded.runner(**ask.arrays))
    except (ValueError, RuntimeError) as error:
        raise Refused(" ".join(str(error).split())[:300]) from error


def _tensors(details: Any) -> list[list[Any]]:
    import numpy as np

    return [
        [name, np.dtype(detail["dtype"]).name, [int(d) for d in detail["shape_signature"]]]
        for name, detail in details.items()
    ]
