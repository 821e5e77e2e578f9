"""A simpler ONNX graph with the same answers, by onnxsim and within its own bounds (docs/adr/0002-onnxsim.md)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit import quiet
from kit.errors import UnsupportedModelError
from kit.types import Model, Signature, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.generic]"


class UnfaithfulError(Exception):
    """The simplified graph answers otherwise than the model; the model can be served as it was read (``leave``)."""


def simplify(model: Model, folder: Path) -> Model:
    """Write the simplified model into ``folder``; ``check`` it before it is published.

    Where onnxsim fails, its result cannot be loaded, or has other inputs and outputs, the model itself is the result,
    with a note that says why.
    """
    import kit.graph

    try:
        made = _simplified(model, folder)
        _require_same(model.signature, made.signature)
    except (UnsupportedModelError, UnfaithfulError) as error:
        return leave(model, folder, str(error))
    except kit.graph.onnx_failures() as error:
        return leave(model, folder, f"onnxsim failed: {kit.graph.one_line(error)}")
    return made


def _simplified(model: Model, folder: Path) -> Model:
    import onnx
    import onnxsim

    import kit.graph

    proto = onnx.load(str(model.path))
    with quiet.silenced():  # it prints its progress
        simpler, _ = onnxsim.simplify(proto, check_n=0)  # see `check`
    kit.graph.strip(simpler)
    return kit.graph.save(simpler, folder / "model.onnx", "its result", checked=True)


def leave(model: Model, folder: Path, why: str) -> Model:
    """Return the model as it is, in ``folder`` too, with a note that says why it was not simplified."""
    import kit.graph

    (folder / "model.onnx").unlink(missing_ok=True)
    note = f"not simplified, {textwrap.shorten(why, 200, placeholder=' ...')}; the graph is served as it was read"
    return replace(kit.graph.unchanged(model, folder), notes=(note,))


def check(before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
    """Hold the simplified graph's answers to one input to onnxsim's own bounds; ``kit.compare`` holds more to its own.

    They are those of ``onnxsim.model_checking.compare``, number by number, and are meant for FP32. That would load
    and run both graphs once more. Raises ``UnfaithfulError``.
    """
    import numpy as np

    for name, value in before.items():
        if value.dtype != np.object_ and not np.allclose(after[name], value, rtol=1e-4, atol=1e-5):
            raise UnfaithfulError("onnxsim's own check found that its result answers otherwise")


def _require_same(before: Signature, after: Signature) -> None:
    """Compare what the model takes and gives, tensor by tensor. Raises ``UnfaithfulError``."""
    fixed = all(size != -1 for tensor in before.inputs for size in tensor.shape)
    for kind in ("inputs", "outputs"):
        old, new = getattr(before, kind), getattr(after, kind)
        if len(old) != len(new):
            raise UnfaithfulError(f"onnxsim changed the number of {kind} from {len(old)} to {len(new)}")
        for was, now in zip(old, new, strict=True):
            if was != now and not (fixed and _is_known_better(was, now)):
                raise UnfaithfulError(
                    f"onnxsim changed {was.name} {was.dtype.value}{list(was.shape)} to {now.name} "
                    f"{now.dtype.value}{list(now.shape)}"
                )


def _is_known_better(was: Tensor, now: Tensor) -> bool:
    """Tell whether a tensor only has sizes now where none were known; from inputs of fixed size they follow."""
    if (was.name, was.dtype, len(was.shape)) != (now.name, now.dtype, len(now.shape)):
        return False
    return all(before in (-1, after) for before, after in zip(was.shape, now.shape, strict=True))
