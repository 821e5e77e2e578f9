"""Which nodes change their precision together, and what their PyTorch modules are called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kit import modules
from kit.precision._network import Network
from kit.precision._structure import End, layers, weight_of
from kit.precision.interface import Group

if TYPE_CHECKING:
    import onnx

_ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "PRelu", "Mul", "Add"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is quantised: ``groups`` can be reverted, ``followers`` are quantised where what they lie between is."""

    groups: tuple[Group, ...]
    followers: tuple[str, ...]


def plan(network: Network, end: End, operators: Collection[str]) -> Plan:
    """Return the groups of a network outside its ``end``: layers with the same weights, and what follows each.

    ``operators`` are the types that the recipe quantises besides the layers.
    """
    allowed = {name for name in operators if name not in ("Conv", "ConvTranspose", "Gemm", "MatMul")}
    parts: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    wanted = [node for node in layers(network, end.nodes) if node.op_type in operators]
    taken: set[str] = set(end.nodes)
    for layer in wanted:
        weight = weight_of(network, layer)
        assert weight is not None
        parts[weight.name].append(layer)
        own = [node for node in _activations(network, layer, allowed) if node.name not in taken]
        taken |= {layer.name, *(node.name for node in own)}
        parts[weight.name] += own
    groups = _named([_group(network, nodes) for nodes in parts.values()])
    rest = [n for n in network.nodes if n.name not in taken and n.op_type in allowed and _is_plain(network, n)]
    return Plan(groups=groups, followers=tuple(node.name for node in rest))


def chosen(network: Network, found: Plan, reverted: Collection[str]) -> frozenset[str]:
    """Return the names of the nodes to quantise: groups that are not reverted, and followers among them.

    A follower is quantised where all that it takes comes from quantised nodes and what it gives goes to one: alone
    between float neighbours it would only cost two conversions.
    """
    inside = {name for group in found.groups if group.name not in reverted for name in group.nodes}
    joined = set(inside)
    for node in network.nodes:
        if node.name in found.followers and (before := network.before(node)) and len(before) == len(network.fed(node)):
            joined |= {node.name} if all(n.name in joined for n in before) else set()
    for node in reversed(network.nodes):
        if node.name in joined and node.name not in inside:
            after = [taker for name in node.output for taker in network.takers.get(name, ())]
            joined -= set() if any(taker.name in joined for taker in after) else {node.name}
    return frozenset(joined)


def touched(network: Network, nodes: Collection[str]) -> set[str]:
    """Return the tensors that the named nodes take and give."""
    return {name for node in network.nodes if node.name in nodes for name in (*node.input, *node.output) if name}


def _activations(network: Network, layer: onnx.NodeProto, allowed: Collection[str]) -> list[onnx.NodeProto]:
    """Return what follows a layer: its bias, its activation, and the residual Add after them."""
    found: list[onnx.NodeProto] = []
    last = layer
    while step := _step(network, last.output[0], allowed):
        found += step
        last = step[-1]
        own = {layer.output[0], *(node.output[0] for node in found)}
        if not set(network.fed(last)) <= own:
            break
    return found


def _step(network: Network, tensor: str, allowed: Collection[str]) -> list[onnx.NodeProto]:
    """Return what alone takes a tensor: one node, or the two of SiLU; nothing where it goes several ways."""
    takers = network.takers.get(tensor, ())
    fits = all(n.op_type in _ACTIVATIONS and n.op_type in allowed and _is_plain(network, n) for n in takers)
    if not fits or tensor in network.outputs:
        return []
    if len(takers) == 1:
        return list(takers)
    gates = [node for node in takers if node.op_type in ("Sigmoid", "HardSigmoid")]
    products = [node for node in takers if node.op_type == "Mul"]
    if len(takers) != 2 or not gates or not products or gates[0].output[0] not in products[0].input:
        return []
    return [gates[0], products[0]] if network.takers[gates[0].output[0]] == (products[0],) else []


def _is_plain(network: Network, node: onnx.NodeProto) -> bool:
    """Tell whether a node takes and gives FP32 that no inner graph takes."""
    data = [name for name in network.fed(node) if network.elements.get(name) not in (6, 7, 9)]
    results = [name for name in node.output if name]
    return all(map(network.is_float, (*data, *results))) and not network.captured & {*data, *results}


def _group(network: Network, nodes: list[onnx.NodeProto]) -> Group:
    module = module_of(network, nodes)
    return Group(name=module, nodes=tuple(node.name for node in nodes), module=module)


def _named(groups: list[Group]) -> tuple[Group, ...]:
    """Give groups of one module different names."""
    count: Counter[str] = Counter()
    found = []
    for group in groups:
        count[group.name] += 1
        number = count[group.name]
        found.append(group if number == 1 else replace(group, name=f"{group.name}#{number}"))
    return tuple(found)


def module_of(network: Network, nodes: Sequence[onnx.NodeProto]) -> str:
    """Return the path of the module that a layer came from, as far as names tell; else the layer's own name."""
    weights = [n for node in nodes[:2] for n in node.input if n in network.constants and network.is_float(n)]
    for names in (weights, ()):
        path: str | None = modules.of_node(nodes[0].name, names)
        if path:
            return path
    return str(nodes[0].name).removeprefix(modules.NETWORK)


def added(network: Network, nodes: Collection[str], *, both: bool) -> tuple[str, ...]:
    """Return what a residual Add takes beside a quantised layer's result; with ``both`` that result too.

    TensorRT adds in the layer's own kernel where the other comes in INT8:
    https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html
    OpenVINO's kernel, which holds the activation as well, gives the sum in INT8 only where both are; else another pass
    over the sum quantises it.
    """
    found = []
    for node in network.nodes:
        fed = network.fed(node)
        if node.op_type != "Add" or len(fed) != 2 or not _is_plain(network, node):
            continue
        results = [name for name in fed if _from_layer(network, name, nodes, activated=both)]
        if results:
            found += [name for name in fed if both or name != results[-1]]
    return tuple(dict.fromkeys(found))


def _from_layer(network: Network, tensor: str, nodes: Collection[str], *, activated: bool) -> bool:
    """Tell whether a tensor is a quantised layer's result, ``activated`` or not, and only the Add takes it."""
    maker = network.makers.get(tensor)
    if maker is None or len(network.takers[tensor]) != 1:
        return False
    return maker.name in nodes or (activated and _activates(network, maker, nodes))


def _activates(network: Network, node: onnx.NodeProto, nodes: Collection[str]) -> bool:
    """Tell whether a node is the activation of one quantised layer, or the last of the two of SiLU."""
    if node.op_type not in _ACTIVATIONS - {"Add"} or not _is_plain(network, node):
        return False
    gates = [maker for maker in network.before(node) if maker.op_type in ("Sigmoid", "HardSigmoid")]
    fed = {name for one in (node, *gates) for name in network.fed(one)} - {gate.output[0] for gate in gates}
    makers = [network.makers.get(name) for name in fed]
    return len(makers) == 1 and makers[0] is not None and makers[0].name in nodes
