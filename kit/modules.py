"""Which PyTorch module a node of an ONNX graph came from, by the names that exporters leave.

Exporters keep the parameters' names (``backbone.stem.0.0.weight``); PyTorch's older one renames weights that it folds
(``onnx::Conv_345``), and writes the modules into the nodes' names instead (``/model.2/cv1/conv/Conv``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NETWORK = "network/"
"""In front of every name of the user's network where the served contract is around it: ``kit.contract``."""

_PARAMETERS = frozenset(
    {"weight", "bias", "running_mean", "running_var", "in_proj_weight", "in_proj_bias", "gamma", "beta", "scale"}
)
_LOWERED = re.compile(
    r"(_(quantized|scale|zero_point|merged|fp16|float16|dq|q|cast|Q|DQ|\d+)"
    r"|_(DequantizeLinear|QuantizeLinear)(_Output|_Input)?|_cast_to_(fp16|fp32))+$"
)
"""What quantisers and converters append to a weight's name."""

_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


def of_weight(name: str) -> str | None:
    """Return the path of the module that holds a parameter of this name; None where the name says nothing.

    ``network/backbone.stem.0.0.weight_quantized`` is of ``backbone.stem.0.0``.
    """
    plain = name.removeprefix(NETWORK)
    for text in (plain, _LOWERED.sub("", plain)):
        path, _, parameter = text.rpartition(".")
        if path and parameter in _PARAMETERS and not path.startswith("onnx::"):
            return path
    plain = _LOWERED.sub("", plain)
    # A parameter that the module itself names: head.scales.0, anchors.grid
    return plain.rpartition(".")[0] if _PATH.fullmatch(plain) and not plain.startswith("onnx::") else None


def of_node(name: str, weights: Iterable[str] = ()) -> str | None:
    """Return the path of the module of a node with this name and these weights; None where nothing tells.

    ``/model.22/cv2.0/cv2.0.1/conv/Conv`` is of ``model.22.cv2.0.1.conv``: within a list of modules, the older exporter
    writes the list's name again.
    """
    held = [path for path in map(of_weight, weights) if path is not None]
    if held:
        return max(held, key=lambda path: path.count("."))
    plain = name.removeprefix(NETWORK)
    if not plain.startswith("/"):
        return None
    parts: list[str] = []
    for part in plain.strip("/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts) or None


def shared(paths: Iterable[str]) -> str:
    """Return the path of the innermost module that holds all of these; empty where that is the whole network."""
    split = [path.split(".") for path in paths]
    common = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)
