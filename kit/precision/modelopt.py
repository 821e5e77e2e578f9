"""INT8 by NVIDIA's ModelOpt, in an environment of its own: for TensorRT, and beside the kit's own ``int8``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kit import environments
from kit.cache import Cache
from kit.environments import Worker
from kit.errors import UnsupportedModelError
from kit.precision import _calibrated, _elsewhere, _observing, _recipes, _remainder
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
        return _elsewhere.nearest("ModelOpt", work, made, folder)


def _quantised(work: Work, method: str, worker: Worker, folder: Path) -> onnx.ModelProto:
    """Return what ModelOpt makes of the graph with one of its methods. Raises ``QuantizationError``."""
    words = {"method": method, "excluded": [f"^{re.escape(name)}$" for name in _elsewhere.staying(work)]}
    return _elsewhere.quantised("ModelOpt", work, worker, words, work.seen, folder)


MEMBER = Int8ModelOpt()
