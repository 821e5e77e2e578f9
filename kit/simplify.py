"""A simpler ONNX graph with the same answers, by onnxsim with its own check on (docs/adr/0002-onnxsim.md)."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from kit.errors import StageError
from kit.types import Model

CHECKS = 1
"""How many random inputs onnxsim compares; our own parity on real images follows."""


def simplify(model: Model, folder: Path) -> Model:
    """Write the simplified model into ``folder``.

    Raises ``StageError`` where onnxsim fails, finds other answers, or changes the names of inputs and outputs.
    """
    import onnx
    import onnxsim

    import kit.graph

    proto = onnx.load(str(model.path))
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            simpler, equal = onnxsim.simplify(proto, check_n=CHECKS)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise StageError(f"simplify: onnxsim failed: {kit.graph.one_line(error)[:300]}") from error
    if not equal:
        raise StageError("simplify: onnxsim's result answers otherwise than the model it was given")
    kit.graph.strip(simpler)
    path = folder / "model.onnx"
    onnx.checker.check_model(simpler, full_check=True)
    made = kit.graph.describe(path, kit.graph.write(simpler, path))
    if made.signature != model.signature:
        raise StageError(f"simplify: onnxsim changed the signature from {model.signature} to {made.signature}")
    return made
