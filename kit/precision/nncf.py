"""INT8 by NNCF, in an environment of its own: for OpenVINO, and beside the kit's own ``int8``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit import environments
from kit.environments import Worker
from kit.errors import UnsupportedModelError
from kit.precision import _calibrated, _elsewhere, _transformer
from kit.precision._calibrated import Work
from kit.precision._observing import Part
from kit.precision.interface import Ask, Lowered, Pictures

if TYPE_CHECKING:
    import onnx

_SCRIPT = Path(__file__).with_name("_nncf_script.py")
_ENVIRONMENT = "nncf"
_PRESET = "performance"
"""Symmetric activations. ``mixed``, with zero points, took 1.06 of its time on examples/digits, and mAP50-95 was 78.7
against 79.3."""

_MOST_PICTURES = 300
"""NNCF's own number; it would take the first of more."""


class Int8Nncf:
    """Q/DQ where NNCF puts it, biases corrected; heads, decoding and pre-processing are left as for ``int8``."""

    name = "nncf"
    bits = 8
    calibrated = True
    automatic = False
    tools = ("nncf/nncf", "onnx", "onnxruntime", "numpy")

    def apply(self, ask: Ask, folder: Path) -> Lowered:
        """Write the model with Q/DQ. The environment is made on first use: 370 MB.

        Raises ``QuantizationError``, ``UnsupportedModelError`` and ``ToolEnvironmentError``.
        """
        if ask.backend != "openvino":
            raise UnsupportedModelError(
                f"NNCF quantises for OpenVINO, and {ask.target.name} serves this with {ask.backend}; add "
                "--runtime openvino, or use --precision int8"
            )
        work = _calibrated.prepared(ask)
        with Worker(environments.ensure(_ENVIRONMENT, lambda _: None), _SCRIPT) as worker:
            made = _quantised(work, worker, folder / _PRESET)
        return _elsewhere.nearest("NNCF", work, {_PRESET: made}, folder)


def _quantised(work: Work, worker: Worker, folder: Path) -> onnx.ModelProto:
    """Return what NNCF makes of the graph. Raises ``QuantizationError``."""
    pictures = _some(work.seen)
    words = {
        "preset": _PRESET,
        "transformer": _transformer.is_one(work.network),
        "pictures": len(pictures),
        "excluded": _elsewhere.staying(work),
    }
    return _elsewhere.quantised("NNCF", work, worker, words, pictures, folder)


def _some(pictures: Pictures) -> Pictures:
    """Return as many as NNCF looks at, from all over."""
    every = -(-len(pictures) // _MOST_PICTURES)
    return pictures if every == 1 else Part(pictures=pictures, every=every)


MEMBER = Int8Nncf()
