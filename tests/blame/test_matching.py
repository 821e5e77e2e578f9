"""Which layer is which: found again after renaming, simplifying, quantising and serving."""

from __future__ import annotations

import random

import graphs_of_text
import onnx
import onnxsim
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.blame import graphs, matching
from kit.blame.layers import Layer, Network, ancestors, behind, folded, near
from kit.blame.matching import Match


def network(model: onnx.ModelProto) -> Network:
    return folded(graphs.network(model.graph))


def matched(one: onnx.ModelProto, other: onnx.ModelProto) -> tuple[Match, ...]:
    return matching.match(network(one), network(other), {"images": "images"})


def chain(seed: int, length: int) -> Network:
    """A random network in order: each layer reads one or two of those before it."""
    chance = random.Random(seed)
    made = [Layer(name="n0", operator="Conv", inputs=("x",), weights=("w0",), shapes=((4, 3),))]
    for index in range(1, length):
        read = tuple(dict.fromkeys(f"n{chance.randrange(index)}" for _ in range(chance.randint(1, 2))))
        operator = chance.choice(["Conv", "Relu", "Add", "Sigmoid"])
        weights = (f"w{index}",) if operator == "Conv" else ()
        shapes = ((chance.choice([4, 8]), 3),) if weights else ()
        made.append(Layer(name=f"n{index}", operator=operator, inputs=read, weights=weights, shapes=shapes))
    return Network(inputs=("x",), layers=tuple(made))


@settings(max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 30))
def test_a_network_matches_itself_layer_by_layer(seed: int, length: int) -> None:
    whole = chain(seed, length)
    found = matching.match(whole, whole, {"x": "x"})
    assert [(m.first.name, m.second.name) for m in found] == [(layer.name, layer.name) for layer in whole.layers]


@settings(max_examples=50)
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 25))
def test_no_layer_is_matched_twice_and_operators_agree(one: int, other: int, length: int) -> None:
    found = matching.match(chain(one, length), chain(other, length), {"x": "x"})
    for names in ([m.first.name for m in found], [m.second.name for m in found]):
        assert len(set(names)) == len(names)
    assert all(m.first.operator == m.second.operator for m in found if m.by != "name")


def test_folding_makes_one_layer_of_what_compilers_fuse() -> None:
    layers = network(graphs_of_text.branches()).layers
    stem = layers[0]
    assert (stem.name, stem.operator, stem.linear) == ("active", "Conv", "norm")
    assert stem.modules == ("stem.conv", "stem.norm")
    assert [layer.name for layer in layers] == ["active", "deep", "sum", "a", "b", "right"]


def test_names_are_not_needed() -> None:
    model = graphs_of_text.branches()
    found = matched(model, graphs_of_text.renamed(model))
    assert len(found) == len(network(model).layers)
    assert {match.by for match in found} == {"structure"}


def test_a_folded_batch_normalisation_is_matched_by_what_comes_out_of_it() -> None:
    model = graphs_of_text.branches()
    simpler, _ = onnxsim.simplify(model)
    assert not any(node.op_type == "BatchNormalization" for node in simpler.graph.node)
    found = {match.left: match.right for match in matched(model, simpler)}
    assert len(found) == len(network(model).layers)
    assert found["active"] == "active"


def test_siblings_are_told_apart_by_their_weights() -> None:
    model = graphs_of_text.branches()
    other = onnx.ModelProto()
    other.CopyFrom(model)
    a, b = (next(node for node in other.graph.node if node.output[0] == name) for name in "ab")
    a.output[0], b.output[0] = "first", "second"
    for node in other.graph.node:
        node.input[:] = [{"a": "first", "b": "second"}.get(name, name) for name in node.input]
    nodes = list(other.graph.node)
    place = nodes.index(a)
    nodes[place], nodes[place + 1] = nodes[place + 1], nodes[place]  # the other way round
    del other.graph.node[:]
    other.graph.node.extend(nodes)
    found = {match.first.name: match.second.name for match in matched(model, other)}
    assert (found["a"], found["b"]) == ("first", "second")


def test_a_part_that_differs_does_not_hide_what_follows() -> None:
    model = graphs_of_text.branches()
    other = onnx.ModelProto()
    other.CopyFrom(model)
    relu = next(node for node in other.graph.node if node.op_type == "Relu")
    relu.op_type = "HardSwish"
    found = {match.first.name: match.by for match in matched(model, other)}
    assert {"deep", "a", "b", "right"} <= set(found)


def test_ancestors_look_through_layers_that_were_not_chosen() -> None:
    whole = network(graphs_of_text.branches())
    found = ancestors(whole, ["active", "a", "right"])
    assert found == {"active": (), "a": ("active",), "right": ("active",)}


def test_layers_without_weights_are_near_a_module() -> None:
    found = near(network(graphs_of_text.branches()))
    assert (found["sum"], found["right"]) == ("body.0", "head.right")


def test_what_depends_on_a_decision() -> None:
    whole = Network(
        inputs=("x",),
        layers=(
            Layer(name="a", operator="Conv", inputs=("x",)),
            Layer(name="k", operator="TopK", inputs=("a",)),
            Layer(name="g", operator="Gather", inputs=("a", "k")),
        ),
    )
    assert behind(whole, frozenset({"TopK"})) == {"k", "g"}
