"""How far a lowered model's answers are from the model's own, on real pictures: what ranges are chosen by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kit import nearness
from kit.nearness import Border
from kit.precision import _observing
from kit.precision._network import Network
from kit.precision.interface import Pictures
from kit.types import Interpretation, Signature

if TYPE_CHECKING:
    import onnx


def border(network: Network, meaning: Interpretation) -> Border:
    """Return what is compared: see ``kit.nearness``."""
    return nearness.border(network.makers, network.outputs, meaning)


def distances(
    reference: onnx.ModelProto,
    others: Mapping[str, onnx.ModelProto],
    where: Border,
    pictures: Pictures,
    signature: Signature,
) -> dict[str, float]:
    """Return how far each of ``others`` is from ``reference``: 0 is the same, 1 is lost. The mean over the pictures."""
    expected = [
        {name: np.array(value) for name, value in values.items()}
        for values in _observing.answers(reference, where.names, pictures, signature)
    ]
    found = {}
    for name, proto in others.items():
        given = _observing.answers(proto, where.names, pictures, signature)
        apart = [nearness.between(a, b, where) for a, b in zip(expected, given, strict=True)]
        known = [value for value in apart if value is not None]
        found[name] = float(np.mean(known)) if known else 0.0
    return found
