"""A network as a row of layers: what each computes, from which others, and which PyTorch module it is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

_ACTIVATIONS = frozenset({"Relu", "Clip"})
"""What quantisers fold into the layer before: its zero point does the same (onnxruntime, qdq_base_operator)."""

_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm"})


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A tensor that a network computes.

    ``name`` is the tensor's, unique in its network; ``inputs`` are the names of the layers that it is computed from,
    conversions of type looked through. ``passed`` is the tensor as the next layers read it: after its own
    quantisation, where it has one. ``module`` is the PyTorch module's path; empty where nothing tells. ``weights`` are
    the parameters' names, ``shapes`` theirs, ``nodes`` the names of the graph's nodes. ``linear`` is the tensor before
    an activation that was folded into the layer, ``modules`` are the paths of all that were folded.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    passed: str = ""
    module: str = ""
    weights: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    linear: str | None = None
    modules: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def tapped(self) -> str:
        """The tensor to look at."""
        return self.passed or self.name


@dataclass(frozen=True, kw_only=True)
class Network:
    """Layers in the order in which they are computed; ``inputs`` are the tensors that are fed."""

    inputs: tuple[str, ...]
    layers: tuple[Layer, ...]


def folded(network: Network) -> Network:
    """Return the network with what compilers fold made one layer: batch normalisation, biases, simple activations.

    So a Conv is compared with a Conv + BatchNormalization + Relu by what comes out at the end of both.
    """
    readers = Counter(name for layer in network.layers for name in layer.inputs)
    made: dict[str, Layer] = {}
    into: dict[str, str] = {}
    for layer in network.layers:
        current = replace(layer, inputs=tuple(into.get(name, name) for name in layer.inputs))
        before = made.get(current.inputs[0]) if len(current.inputs) == 1 else None
        if before is not None and readers[layer.inputs[0]] == 1 and (merged := _merged(before, current)) is not None:
            del made[before.name]
            current = merged
        made[current.name] = current
        into[layer.name] = current.name
    return replace(network, layers=tuple(made.values()))


def _merged(before: Layer, after: Layer) -> Layer | None:
    """Return two layers as one, where compilers would make one of them."""
    if before.linear is not None:
        return None
    operator, linear = before.operator, None
    if after.operator in _ACTIVATIONS and operator in _LINEAR:
        linear = before.tapped
    elif after.operator == "Add" and after.weights and operator == "MatMul":
        operator = "Gemm"
    elif after.operator != "BatchNormalization" or operator not in _LINEAR:
        return None
    return replace(
        after,
        operator=operator,
        inputs=before.inputs,
        module=before.module or after.module,
        weights=(*before.weights, *after.weights),
        shapes=before.shapes or after.shapes,
        linear=linear,
        modules=tuple(dict.fromkeys((*paths(before), *paths(after)))),
        nodes=(*before.nodes, *after.nodes),
    )


def paths(layer: Layer) -> tuple[str, ...]:
    """Return the paths of the modules that a layer is made of."""
    return layer.modules or ((layer.module,) if layer.module else ())


def near(network: Network) -> dict[str, str]:
    """Return for each layer its module's path, else that of the nearest layer before it that has one."""
    known: dict[str, str] = {}
    for layer in network.layers:
        before = (known[name] for name in layer.inputs if known.get(name))
        known[layer.name] = layer.module or next(before, "")
    return known


def ancestors(network: Network, chosen: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for each chosen layer the chosen ones that its values come from, looking through the others."""
    wanted = set(chosen)
    sources: dict[str, frozenset[str]] = {name: frozenset() for name in network.inputs}
    found: dict[str, tuple[str, ...]] = {}
    order = {layer.name: place for place, layer in enumerate(network.layers)}
    for layer in network.layers:
        reached = frozenset().union(*(sources.get(name, frozenset()) for name in layer.inputs))
        if layer.name in wanted:
            found[layer.name] = tuple(sorted(reached, key=order.__getitem__))
            reached = frozenset({layer.name})
        sources[layer.name] = reached
    return found


def behind(network: Network, operators: frozenset[str]) -> frozenset[str]:
    """Return the layers of these operators, and all that are computed from theirs."""
    found: set[str] = set()
    for layer in network.layers:
        if layer.operator in operators or any(name in found for name in layer.inputs):
            found.add(layer.name)
    return frozenset(found)
