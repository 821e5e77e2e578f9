"""Converts a program of ``torch.export`` to Core ML; runs under the Python of the environment ``coreml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused


def convert(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write ``place`` from ``program``, an ML program for iOS 17 and macOS 14."""
    import coremltools
    import torch

    data = ask.data
    program = torch.export.load(data["program"])
    shapes = [tuple(value.shape) for value in program.example_inputs[0]]
    ask.tell("converting to Core ML")
    kind = coremltools.precision.FLOAT32 if data["precision"] == "fp32" else coremltools.precision.FLOAT16
    try:
        made = coremltools.convert(
            _spelled_out(program.run_decompositions({})),  # coremltools knows PyTorch's smallest set of operators
            convert_to="mlprogram",
            compute_precision=kind,
            minimum_deployment_target=coremltools.target.iOS17,
            inputs=[coremltools.TensorType(name=n, shape=s) for n, s in zip(data["inputs"], shapes, strict=True)],
            outputs=[coremltools.TensorType(name=name) for name in data["outputs"]],
        )
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise Refused((lines[-1] if lines else type(error).__name__)[:300]) from error
    if data["precision"] == "int8":
        ask.tell("quantising the weights to INT8")
        from coremltools.optimize import coreml

        config = coreml.OptimizationConfig(coreml.OpLinearQuantizerConfig(mode="linear_symmetric"))
        made = coreml.linear_quantize_weights(made, config)
    made.save(data["place"])
    return {}, {}


def _spelled_out(program: Any) -> Any:
    """Write the stride of a pooling where it is left to be the window's, which coremltools 9 does not read."""
    for node in program.graph.nodes:
        pools = node.op == "call_function" and re.match(r"aten\.(max|avg)_pool\d", str(node.target))
        if pools and len(node.args) == 2:
            node.args = (*node.args, node.args[1])
    return program
