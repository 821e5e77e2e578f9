"""Which layer of one network is which of another: by what they are computed from, by names, by modules, by place.

A structural match is the surest: the same operator on matched inputs. Names settle it between siblings, and start it
anew behind parts that differ. Whether two tensors have one shape is seen when both are computed.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kit.blame.layers import Layer, Network, paths
from kit.modules import NETWORK


@dataclass(frozen=True, kw_only=True)
class Match:
    """A layer of the first network and the one of the second that computes the same, with the tensors to compare.

    ``by`` says what they were matched by: ``structure``, ``name``, ``module`` or ``place``.
    """

    first: Layer
    second: Layer
    left: str
    right: str
    by: str


@dataclass
class _Search:
    """What is matched already, and what of the second network is still free."""

    partners: dict[str, str]
    free: dict[str, Layer]
    by_inputs: dict[tuple[str, tuple[str, ...]], list[Layer]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[str, Layer] = field(default_factory=dict)
    by_weight: dict[tuple[str, str], list[Layer]] = field(default_factory=lambda: defaultdict(list))


def match(first: Network, second: Network, inputs: Mapping[str, str]) -> tuple[Match, ...]:
    """Return the layers that match, in the order of the first network. ``inputs`` pairs what both are fed."""
    search = _Search(partners=dict(inputs), free={layer.name: layer for layer in second.layers})
    for layer in second.layers:
        search.by_inputs[(layer.operator, layer.inputs)].append(layer)
        search.by_name[_plain(layer.name)] = layer
        if layer.weights:
            search.by_weight[(layer.operator, _weight(layer))].append(layer)
    found: dict[str, Match] = {}
    for layer in first.layers:
        other, by = _partner(layer, search)
        if other is not None:
            _settle(layer, other, by, search, found)
    for layer, other in _by_place(first.layers, search, found):
        _settle(layer, other, "place", search, found)
    return tuple(found[layer.name] for layer in first.layers if layer.name in found)


def match_modules(first: Network, second: Network) -> tuple[Match, ...]:
    """Return the layers of the same module, the first call of it with the first: for networks of PyTorch."""
    calls: dict[str, list[Layer]] = defaultdict(list)
    for layer in second.layers:
        for path in paths(layer):
            calls[path].append(layer)
    found, taken = [], set()
    for layer in first.layers:
        candidates = (other for path in paths(layer) for other in calls[path] if other.name not in taken)
        other = next(candidates, None)
        if other is not None:
            taken.add(other.name)
            found.append(_matched(layer, other, "module"))
    return tuple(found)


def _partner(layer: Layer, search: _Search) -> tuple[Layer | None, str]:
    """Return what matches a layer and by what; None where nothing does."""
    named = _free([search.by_name.get(_plain(layer.name))], search)
    if all(name in search.partners for name in layer.inputs):
        key = (layer.operator, tuple(search.partners[name] for name in layer.inputs))
        siblings = _free(search.by_inputs[key], search)
        if siblings:
            return _nearest(layer, siblings), "structure"
    if named and (named[0].operator == layer.operator or _weight(named[0]) == _weight(layer) != ""):
        return named[0], "name"
    weighted = _free(search.by_weight[(layer.operator, _weight(layer))], search) if layer.weights else []
    return (weighted[0], "name") if weighted else (None, "")


def _free(layers: Iterable[Layer | None], search: _Search) -> list[Layer]:
    return [layer for layer in layers if layer is not None and layer.name in search.free]


def _nearest(layer: Layer, siblings: list[Layer]) -> Layer:
    """Return the sibling with the same name, else the same weights, else weights of the same shapes, else the first."""

    def likeness(other: Layer) -> tuple[bool, bool, bool]:
        return (
            _plain(other.name) == _plain(layer.name),
            bool(layer.weights) and _weight(other) == _weight(layer),
            other.shapes[:1] == layer.shapes[:1],
        )

    return max(siblings, key=likeness)


def _settle(layer: Layer, other: Layer, by: str, search: _Search, found: dict[str, Match]) -> None:
    search.partners[layer.name] = other.name
    del search.free[other.name]
    found[layer.name] = _matched(layer, other, by)


def _matched(layer: Layer, other: Layer, by: str) -> Match:
    """Pair two layers by the same tensor of both: before the activation, where only one of them has it folded in.

    A quantiser that removes an activation gives its name to the tensor that takes its place.
    """
    left, right = layer.tapped, other.tapped
    if layer.linear is not None and other.linear is None and _plain(layer.name) != _plain(other.name):
        left = layer.linear
    elif other.linear is not None and layer.linear is None and _plain(layer.name) != _plain(other.name):
        right = other.linear
    return Match(first=layer, second=other, left=left, right=right, by=by)


def _by_place(layers: Iterable[Layer], search: _Search, found: Mapping[str, Match]) -> Iterable[tuple[Layer, Layer]]:
    """Yield what is left of the layers with weights, where both rows have the same operators and shapes."""
    left = [layer for layer in layers if layer.weights and layer.name not in found]
    right = [layer for layer in search.free.values() if layer.weights]
    tokens = [[(layer.operator, layer.shapes[:1]) for layer in side] for side in (left, right)]
    matcher = difflib.SequenceMatcher(a=tokens[0], b=tokens[1], autojunk=False)
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            yield left[block.a + step], right[block.b + step]


def _plain(name: str) -> str:
    return name.removeprefix(NETWORK)


def _weight(layer: Layer) -> str:
    """Return the name of a layer's first weight as the network had it before it was quantised."""
    if not layer.weights:
        return ""
    name = _plain(layer.weights[0])
    for suffix in ("_DequantizeLinear_Output", "_quantized", "_fp16", "_cast"):
        name = name.removesuffix(suffix)
    return name
