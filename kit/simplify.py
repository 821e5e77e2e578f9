"""A simpler ONNX graph with the same answers, by onnxsim (docs/adr/0002-onnxsim.md)."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from kit.errors import StageError
from kit.types import Model, Signature

CHECKS = 0
"""How many random inputs onnxsim compares. It cannot where pictures vary in size or tensors are text, and
``kit.compare`` holds every simplified model to the same and more before it is published."""


def simplify(model: Model, folder: Path) -> Model:
    """Write the simplified model into ``folder``.

    Raises ``StageError`` where onnxsim fails, or changes the names, types or shapes of inputs and outputs.
    """
    import onnx
    import onnxsim

    import kit.graph

    proto = onnx.load(str(model.path))
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            simpler, _ = onnxsim.simplify(proto, check_n=CHECKS)
        kit.graph.strip(simpler)
        onnx.checker.check_model(simpler, full_check=True)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise StageError(f"simplify: onnxsim failed: {kit.graph.one_line(error)[:300]}") from error
    path = folder / "model.onnx"
    made = kit.graph.describe(path, kit.graph.write(simpler, path))
    _require_same(model.signature, made.signature)
    return made


def _require_same(before: Signature, after: Signature) -> None:
    """Compare what the model takes and gives, tensor by tensor. Raises ``StageError``."""
    for kind in ("inputs", "outputs"):
        old, new = getattr(before, kind), getattr(after, kind)
        if len(old) != len(new):
            raise StageError(f"simplify: onnxsim changed the number of {kind} from {len(old)} to {len(new)}")
        for was, now in zip(old, new, strict=True):
            if was != now:
                raise StageError(
                    f"simplify: onnxsim changed {was.name} {was.dtype.value}{list(was.shape)} to {now.name} "
                    f"{now.dtype.value}{list(now.shape)}: the graph has sizes fixed inside; export it with a free "
                    "batch, or with a fixed batch of 1"
                )
