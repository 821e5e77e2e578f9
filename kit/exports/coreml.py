"""Core ML: an ``.mlpackage`` (an ML program) for iPhones and Macs, in FP16, FP32 or with INT8 weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from kit.environments import ScriptError, Worker
from kit.errors import UnsupportedModelError
from kit.exports.interface import Arrays, Job


class CoreMl:
    """Converts with coremltools. Only macOS runs the result, so here its program is read back and computed by PyTorch.

    That shows the program and its weights; not what Apple's compiler and Neural Engine make of it.
    """

    name = "coreml"
    suffix = ".mlpackage"
    precisions = ("fp16", "fp32", "int8")
    calibrated = ()
    tolerances = MappingProxyType({"fp16": 2e-2, "fp32": 1e-3, "int8": None})
    checked = "its program was read back and computed by PyTorch"
    script = Path(__file__).with_name("_coreml_script.py")
    tools = ("coreml/coremltools", "coreml/torch")

    def convert(self, job: Job, worker: Worker, place: Path, tell: Callable[[str], None]) -> tuple[str, ...]:
        """Write the package. Its inputs and outputs have the network's names; pictures are [1, C, H, W]."""
        given = {
            "program": str(job.program),
            "place": str(place),
            "inputs": job.inputs,
            "outputs": job.outputs,
            "precision": job.precision,
        }
        try:
            worker.call("convert", given, tell=tell)
        except ScriptError as error:
            raise UnsupportedModelError(f"Core ML cannot take the network: {error}") from error
        return ("only macOS runs it: try it there with coremltools' MLModel(path).predict before you ship it",)

    def feeds(self, job: Job, given: Arrays) -> Arrays:  # noqa: ARG002
        """Return them as they are."""
        return given


MEMBER = CoreMl()
