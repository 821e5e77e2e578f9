"""INT8 by NVIDIA's ModelOpt, in an environment of its own: for TensorRT, and beside the kit's own ``int8``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from kit import environments
from kit.cache import Cache
from kit.environments import ScriptError, Worker
from kit.errors import QuantizationError, UnsupportedModelError
from kit.precision import _calibrated, _observing, _recipes, _remainder, _structure, _writing
from kit.precision._calibrated import Work
from kit.precision.interface import Ask, Lowered

if TYPE_CHECKING:
    import onnx

_SCRIPT = Path(__file__).with_name("_modelopt_script.py")
_ENVIRONMENT = "modelopt"
_METHODS = ("max", "entropy")


class Int8ModelOpt:
    """Q/DQ where ModelOpt puts it, FP16 for the rest; heads, decoding and pre-processing are left as for ``int8``.

    Of its two calibration methods that is taken whose answers are nearer on pictures held out.
    """

    name = "modelopt"
    bits = 8
    calibrated = True
    automatic = False
    tools = ("modelopt/nvidia-modelopt", "onnx", "onnxruntime", "numpy")

    def apply(self, ask: Ask, folder: Path) -> Lowered:
        """Write the model with Q/DQ. The environment is made on first use: 1.9 GB.

        Raises ``QuantizationError``, ``UnsupportedModelError`` and ``ToolEnvironmentError``.
        """
        work = _calibrated.prepared(ask)
        if not work.recipe.symmetric or ask.backend == "openvino":
            raise UnsupportedModelError(
                f"ModelOpt quantises for TensorRT, and {ask.target.name} serves this with {ask.backend}; use "
                "--precision int8"
            )
        with Worker(environments.ensure(_ENVIRONMENT, lambda _: None), _SCRIPT) as worker:
            made = {method: _quantised(work, method, worker, folder / method) for method in _METHODS}
        if _recipes.halves_the_rest(work.recipe, ask.target):
            seen = _observing.observe(ask.model, work.network, work.seen, Cache()).read()
            made = {n: _remainder.halved(proto, work.network, work.end, seen) for n, proto in made.items()}
        trials = _calibrated.tried(work, made)
        best = _calibrated.nearest(trials)
        return Lowered(
            model=_writing.finish(made[best.name], ask.model, folder),
            method=f"ModelOpt, {_calibrated.told(trials, best)}",
            groups=work.plan.groups,
            kept=_calibrated.kept(work),
        )


def _quantised(work: Work, method: str, worker: Worker, folder: Path) -> onnx.ModelProto:
    """Return what ModelOpt makes of the graph with one of its methods. Raises ``QuantizationError``."""
    import onnx

    folder.mkdir()
    source, made = folder / "before.onnx", folder / "after.onnx"
    onnx.save(work.network.proto, str(source))
    undone = {n for g in work.plan.groups if g.name in work.ask.reverted for n in g.nodes}
    staying = sorted({*work.end.nodes, *undone, *_structure.before_layers(work.network)})
    given = {
        "onnx": str(source),
        "made": str(made),
        "method": method,
        "excluded": [f"^{re.escape(name)}$" for name in staying],
    }
    try:
        worker.call("quantise", given, streams={"feeds": lambda: work.seen.feeds(work.ask.model.signature)})
    except ScriptError as error:
        raise QuantizationError(f"ModelOpt does not take this graph: {error}; use --precision int8") from error
    proto = onnx.load(str(made))
    shutil.rmtree(folder)  # what the stage leaves is kept in the cache
    return proto


MEMBER = Int8ModelOpt()
