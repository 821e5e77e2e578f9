"""Quantises a graph for OpenVINO by NNCF; runs under the Python of the environment ``nncf``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.environments.serve import Ask
    from kit.environments.wire import Refused
else:
    from kit_wire import Refused


class _Feeds:
    """What NNCF goes through for pictures, as often as it likes. They stay with the kit."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._ask.stream("feeds"))


def quantise(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write ``made`` from ``onnx`` with Q/DQ by ``preset``, but for the nodes of the names ``excluded``.

    ``pictures`` says how many there are to go through, ``transformer`` whether most of the network is attention.
    """
    import nncf
    import onnx

    try:
        made = nncf.quantize(
            onnx.load(ask.data["onnx"]),
            nncf.Dataset(_Feeds(ask)),
            preset=nncf.QuantizationPreset(ask.data["preset"]),
            target_device=nncf.TargetDevice.CPU,
            model_type=nncf.ModelType.TRANSFORMER if ask.data["transformer"] else None,
            subset_size=ask.data["pictures"],
            ignored_scope=nncf.IgnoredScope(names=ask.data["excluded"], validate=False),
        )
    except (ValueError, RuntimeError, AssertionError, KeyError, IndexError, nncf.ValidationError) as error:
        raise Refused(" ".join(str(error).split())[:300] or type(error).__name__) from error
    onnx.save(made, ask.data["made"])
    return {}, {}
