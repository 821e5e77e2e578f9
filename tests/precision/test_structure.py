"""What a network's nodes do, from its graph alone: on the ends of real detectors, whatever they are called."""

from __future__ import annotations

import models
import nets
import networks
import onnx
import pytest
from pictures import NATIVE, saved

from kit.precision import _groups, _network, _structure, _transformer
from kit.precision._network import Network


def linked(proto: onnx.ModelProto, tmp_path) -> Network:
    return _network.link(_network.prepare(saved(proto, tmp_path), NATIVE))


def kinds(network: Network, names: frozenset[str]) -> set[str]:
    return {node.op_type for node in network.nodes if node.name in names}


def test_yolov8_is_float_from_its_last_layers_on_through_dfl(tmp_path) -> None:
    network = linked(networks.yolov8(), tmp_path)
    end = _structure.end_of(network)
    convs = [n for n in network.nodes if n.op_type == "Conv"]
    (dfl,) = [n for n in convs if n.name in end.decoding]
    assert list(network.constants[dfl.input[1]].dims) == [1, 4, 1, 1], "DFL's sum is no layer that makes predictions"
    # Three maps, boxes and scores of each; the backbone's three layers are quantised.
    assert sum(n.name in end.predicting for n in convs) == 6
    assert sum(n.name not in end.nodes for n in convs) == 3
    assert {"Softmax", "Sigmoid", "Concat", "Sub"} <= kinds(network, end.decoding)


@pytest.mark.parametrize("name", ["yolov8_segment", "yolov8_pose", "turned"])
def test_every_output_of_other_heads_is_predicted_in_float(name: str, tmp_path) -> None:
    network = linked(getattr(networks, name)(), tmp_path)
    end = _structure.end_of(network)
    behind = set(network.outputs)
    for node in reversed(network.nodes):
        if behind & set(node.output) and node.name not in end.predicting:
            assert node.name in end.decoding or not any(map(network.is_float, node.output))
            behind |= set(node.input)
    assert kinds(network, end.predicting) == {"Conv"}
    assert len(_structure.layers(network, end.nodes)) == 3


def test_an_end_does_not_reach_into_a_residual_body(tmp_path) -> None:
    """An embedding that ends in a residual Add: all blocks are behind it, and would be the end of the network."""
    net = nets.Net()
    x = net.op("Relu", net.conv("x", 3, 16, kernel=3, name="stem"))
    for index in range(4):
        x = net.op("Add", x, net.op("Relu", net.conv(x, 16, 16, kernel=3, name=f"blocks.{index}")))
    net.op("Flatten", net.op("GlobalAveragePool", x), out="y")
    network = linked(net.done({"y": [models.BATCH, 16]}), tmp_path)
    end = _structure.end_of(network)
    assert kinds(network, end.decoding) == {"Flatten", "GlobalAveragePool", "Add"}
    assert end.predicting == frozenset()
    assert len(_structure.layers(network, end.nodes)) == 5


def test_batch_normalisation_is_folded_into_the_layer_before(tmp_path) -> None:
    import numpy as np

    import kit.graph

    net = nets.Net()
    conv = net.op("Conv", "x", net.value(net.chance.normal(size=(8, 3, 3, 3)), "c.weight"), pads=[1] * 4)
    chance = net.chance
    names = [net.value(chance.uniform(0.5, 2, 8), f"bn.{k}") for k in ("weight", "bias", "running_mean", "running_var")]
    normal = net.op("BatchNormalization", conv, *names)
    net.op("Relu", normal, out="y")
    proto = net.done({"y": [models.BATCH, 8, 16, 16]})
    network = linked(proto, tmp_path)
    assert [n.op_type for n in network.nodes] == ["Conv", "Relu"]
    before, after = (kit.graph.session(p.SerializeToString()) for p in (proto, network.proto))
    feeds = {"x": nets.pictures(1)[0]}
    assert np.allclose(before.run(None, feeds)[0], after.run(None, feeds)[0], atol=1e-5)
    assert _groups.module_of(network, [network.nodes[0]]) == "c"


def test_a_classifier_with_many_weights_at_its_end_is_no_transformer(tmp_path) -> None:
    net = nets.Net()
    x = net.op("Flatten", net.op("Relu", net.conv("x", 3, 16, kernel=3)))
    hidden = net.op("Relu", net.op("MatMul", x, net.value(net.chance.normal(size=(16 * 256, 3)))))
    net.op("MatMul", hidden, net.value(net.chance.normal(size=(3, 30))), out="y")
    assert not _transformer.is_one(linked(net.done({"y": [models.BATCH, 30]}), tmp_path / "cnn"))
    assert _transformer.is_one(linked(nets.transformer(), tmp_path / "vit"))


def test_a_node_between_float_neighbours_is_not_quantised(tmp_path) -> None:
    network = linked(nets.residual(), tmp_path)
    end = _structure.end_of(network)
    plan = _groups.plan(network, end, {"Conv", "Sigmoid", "Mul", "Add", "Concat", "MaxPool"})
    everything = frozenset(group.name for group in plan.groups)
    assert _groups.chosen(network, plan, everything) == frozenset()
    assert set(plan.followers).isdisjoint(_groups.chosen(network, plan, frozenset()) & end.nodes)


def test_groups_have_names_of_their_own(tmp_path) -> None:
    network = linked(nets.transformer(), tmp_path)
    plan = _groups.plan(network, _structure.end_of(network), {"MatMul", "Conv", "Add", "Relu"})
    names = [group.name for group in plan.groups]
    assert len(set(names)) == len(names)
    nodes = [name for group in plan.groups for name in group.nodes]
    assert len(set(nodes)) == len(nodes), "a node is in one group only"
