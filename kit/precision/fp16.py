"""FP16 where a network's numbers fit, Cast to FP32 and back where they do not."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kit import inputs
from kit.cache import Cache
from kit.precision import _groups, _half_range, _halves, _network, _observing, _recipes, _structure, _unfit, _writing
from kit.precision._network import Network
from kit.precision._observing import Part
from kit.precision._structure import End
from kit.precision.interface import Arrays, Ask, Group, Kept, Lowered, Pictures
from kit.types import Signature

if TYPE_CHECKING:
    import onnx

    from kit.precision._histogram import Seen

_MOST_PICTURES = 64
_RANDOM_PICTURES = 4


class _Random:
    """Reproducible noise, for a model that comes without pictures."""

    digest = hashlib.sha256(b"random").hexdigest()

    def __len__(self) -> int:
        return _RANDOM_PICTURES

    def feeds(self, signature: Signature, batch: int = 1) -> Iterator[Arrays]:
        """Yield the values that ``kit.inputs`` makes, one picture at a time."""
        assert batch == 1
        made = {tensor.name: inputs.random(tensor, _RANDOM_PICTURES) for tensor in signature.inputs}
        for index in range(_RANDOM_PICTURES if signature.batched else 1):
            yield {name: array[index : index + 1] if signature.batched else array for name, array in made.items()}


class Fp16:
    """Half the bytes: of weights and numbers where the backend computes in FP16, of weights alone where it does not."""

    name = "fp16"
    bits = 16
    calibrated = False
    automatic = True
    tools = ("onnx", "onnxruntime", "numpy")

    def apply(self, ask: Ask, folder: Path) -> Lowered:
        """Write the model with FP16 inside; its inputs and outputs stay as they are.

        Pre-processing, decoding and whatever does not fit stay in FP32. Raises ``QuantizationError`` and
        ``UnsupportedModelError``.
        """
        network = _network.link(_network.prepare(ask.model, ask.meaning))
        _unfit.require_float(network)
        if _recipes.computes_in_half(ask.backend, ask.target):
            return _arithmetic(ask, network, folder)
        return _weights(ask, network, folder)


def _weights(ask: Ask, network: Network, folder: Path) -> Lowered:
    """Store weights in FP16 and compute in FP32."""
    end = End(predicting=frozenset(), decoding=frozenset())
    groups = _groups.plan(network, end, _every_operator(network)).groups
    _unfit.require_weights(groups)
    layers = {node.name: node for node in network.nodes}
    kept: dict[str, list[str]] = defaultdict(list)
    small: set[str] = set()
    for group in groups:
        weight = _structure.weight_of(network, layers[group.nodes[0]])
        assert weight is not None
        if group.name in ask.reverted:
            kept["reverted"] += group.nodes[:1]
        elif not _half_range.fits(weight):
            kept["has constants outside FP16"] += group.nodes[:1]
        else:
            small.add(weight.name)
    made = _halves.compressed(network, small)
    method = f"{len(small)} weights in FP16, computed in FP32: {ask.backend} gains nothing by FP16 on {ask.target.name}"
    return Lowered(model=_writing.finish(made, ask.model, folder), method=method, groups=groups, kept=_told(kept))


def _arithmetic(ask: Ask, network: Network, folder: Path) -> Lowered:
    """Compute in FP16 where the numbers fit."""
    pictures = _pictures(ask.calibration)
    seen = _observing.observe(ask.model, network, pictures, Cache()).read()
    end = _structure.end_of(network)
    groups = _groups.plan(network, End(predicting=frozenset(), decoding=end.decoding), _every_operator(network)).groups
    kept = _kept(network, end, seen, groups, ask.reverted)
    staying = {name for names in kept.values() for name in names}
    halved = {node.name for node in network.nodes if node.name not in staying}
    halved -= _alone(network, halved)
    made = _halves.converted(network, halved)
    given = f"{len(pictures)} pictures" if ask.calibration is not None else "noise: give --calibration real pictures"
    return Lowered(
        model=_writing.finish(made, ask.model, folder),
        method=f"{len(halved)} of {len(network.nodes)} nodes in FP16, by the values seen on {given}",
        groups=groups,
        kept=_told(kept),
    )


def _pictures(calibration: Pictures | None) -> Pictures:
    if calibration is None or not len(calibration):
        return _Random()
    every = -(-len(calibration) // _MOST_PICTURES)
    return calibration if every == 1 else Part(pictures=calibration, every=every)


def _kept(
    network: Network, end: End, seen: Mapping[str, Seen], groups: tuple[Group, ...], reverted: frozenset[str]
) -> Mapping[str, list[str]]:
    """Return the nodes that stay in FP32, by reason."""
    undone = {name for group in groups if group.name in reverted for name in group.nodes}
    before = _structure.before_layers(network)
    found: dict[str, list[str]] = defaultdict(list)
    for node in network.nodes:
        if reason := _reason(network, node, end, before, undone) or _half_range.unfit(network, node, seen):
            found[reason].append(node.name)
    return found


def _reason(network: Network, node: onnx.NodeProto, end: End, before: frozenset[str], undone: set[str]) -> str | None:
    """Say why a node stays in FP32 whatever its numbers are; empty for one that has none."""
    if not any(network.is_float(name) for name in node.output) or node.op_type == "Constant":
        return "has no floating-point result"
    if node.name in before:
        return "prepares pictures"
    if node.name in end.decoding:
        return "decodes the predictions"
    if node.name in undone:
        return "reverted"
    return None if _halves.can_be(network, node) else "has no FP16 form"


def _alone(network: Network, halved: set[str]) -> set[str]:
    """Return the nodes without weights whose neighbours are all in FP32: two Casts would be all that they get."""
    found = set()
    for node in network.nodes:
        if node.name in halved and _structure.weight_of(network, node) is None:
            near = [*network.before(node), *(t for name in node.output for t in network.takers.get(name, ()))]
            found |= set() if any(n.name in halved for n in near) else {node.name}
    return found


def _told(kept: Mapping[str, list[str]]) -> tuple[Kept, ...]:
    return tuple(Kept(reason=r, nodes=tuple(n)) for r, n in kept.items() if r != "has no floating-point result")


def _every_operator(network: Network) -> frozenset[str]:
    return frozenset(node.op_type for node in network.nodes)


MEMBER = Fp16()
