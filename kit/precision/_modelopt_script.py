"""Quantises a graph for TensorRT by NVIDIA's ModelOpt; runs under the Python of the environment ``modelopt``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused


class _Reader:
    """What ModelOpt asks for pictures: one after the other, as often as it likes. They stay with the kit."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._left: Iterator[dict[str, Any]] = iter(ask.stream("feeds"))

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)

    def get_first(self) -> dict[str, Any]:
        return next(iter(self._ask.stream("feeds")))

    def rewind(self) -> None:
        self._left = iter(self._ask.stream("feeds"))


def quantise(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write ``made`` from ``onnx`` with Q/DQ; ``excluded`` are patterns of the nodes' names."""
    import modelopt.onnx.quantization
    from onnxruntime.quantization import CalibrationDataReader

    reader = type("Reader", (_Reader, CalibrationDataReader), {})(ask)
    try:
        modelopt.onnx.quantization.quantize(
            ask.data["onnx"],
            quantize_mode="int8",
            calibration_data_reader=reader,
            calibration_method=ask.data["method"],
            calibration_eps=["cpu"],
            nodes_to_exclude=ask.data["excluded"],
            high_precision_dtype="fp32",
            output_path=ask.data["made"],
            log_level="ERROR",
        )
    except (ValueError, RuntimeError, AssertionError, KeyError) as error:
        raise Refused(" ".join(str(error).split())[:300] or type(error).__name__) from error
    return {}, {}
