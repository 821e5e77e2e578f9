"""LiteRT (TensorFlow Lite): a ``.tflite`` for phones and microcontrollers, in FP32 or INT8, with NHWC pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from kit.environments import ScriptError, Worker
from kit.errors import UnsupportedModelError
from kit.exports.interface import Arrays, Job


class LiteRt:
    """Converts with litert-torch, quantises with ai-edge-quantizer, and asks LiteRT's own interpreter."""

    name = "litert"
    suffix = ".tflite"
    precisions = ("fp32", "int8")
    calibrated = ("int8",)
    tolerances = MappingProxyType({"fp32": 1e-3, "int8": None})
    checked = "run by LiteRT's interpreter"
    script = Path(__file__).with_name("_litert_script.py")
    tools = ("litert/litert-torch", "litert/ai-edge-quantizer", "litert/ai-edge-litert", "litert/torch")

    def convert(self, job: Job, worker: Worker, place: Path, tell: Callable[[str], None]) -> tuple[str, ...]:
        """Write the file. Its inputs and outputs have the network's names; pictures are [1, H, W, C]."""
        given = {
            "program": str(job.program),
            "place": str(place),
            "inputs": job.inputs,
            "outputs": job.outputs,
            "pictures": job.pictures,
            "int8": job.precision == "int8",
        }
        streams = {} if job.calibration is None else {"feeds": job.calibration}
        try:
            scales = worker.call("convert", given, streams=streams, tell=tell).data["scales"]
        except ScriptError as error:
            raise UnsupportedModelError(
                f"LiteRT cannot convert the network: {error}; what it has: https://ai.google.dev/edge/litert"
            ) from error
        return tuple(
            f"{name} is INT8: number = (value - {zero}) * {scale:.6g}" for name, (scale, zero) in scales.items()
        )

    def feeds(self, job: Job, given: Arrays) -> Arrays:
        """Return them with NHWC pictures."""
        return {name: v.transpose(0, 2, 3, 1) if name in job.pictures else v for name, v in given.items()}


MEMBER = LiteRt()
