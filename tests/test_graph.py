"""What is read out of a graph without its weights is what is in it with them."""

from __future__ import annotations

import models
import networks
import numpy as np
import onnx
import pytest

import kit.graph

BUILT = {
    "classifier": models.classifier(),
    "yolov5": networks.yolov5(),
    "yolov8": networks.yolov8(),
    "yolov10": networks.yolov10(),
    "yolox": networks.yolox(),
    "detr": networks.detr(),
    "ssd": networks.ssd(),
    "torchvision": networks.torchvision(),
}


def shapes(proto: onnx.ModelProto) -> dict[str, str]:
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    return {v.name: str(v.type) for v in (*inferred.value_info, *inferred.output)}


def padded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with a Gather of a table that is as large as weights."""
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((2000, 3), np.float32), "table"))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(5), "rows"))
    made.graph.node.append(onnx.helper.make_node("Gather", ["table", "rows"], ["picked"]))
    return made


@pytest.mark.parametrize("name", BUILT)
def test_shapes_follow_without_weights(name: str) -> None:
    proto = padded(BUILT[name])
    before = proto.SerializeToString(deterministic=True)
    light = kit.graph.without_weights(proto)
    assert light.ByteSize() < proto.ByteSize() - 2000 * 3 * 4 + 200
    assert shapes(light) == shapes(proto)
    assert shapes(light)["picked"].count("dim_value") == 2
    assert proto.SerializeToString(deterministic=True) == before


def test_weights_that_are_inputs_as_well_are_so_once() -> None:
    """As in files of IR 3, in which every constant is an input, too."""
    proto = padded(models.scale())
    proto.graph.input.append(onnx.helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, [2000, 3]))
    light = kit.graph.without_weights(proto)
    assert [v.name for v in light.graph.input].count("table") == 1
    assert shapes(light) == shapes(proto)


@pytest.mark.parametrize("name", BUILT)
def test_weights_that_were_set_aside_come_back(name: str) -> None:
    proto = padded(BUILT[name])
    before = proto.SerializeToString(deterministic=True)
    aside = kit.graph.set_aside(proto)
    assert aside["table"] == ((2000, 3), bytes(2000 * 3 * 4))
    onnx.checker.check_model(proto)  # as onnx.compose does with what it makes
    assert proto.ByteSize() < len(before) - 2000 * 3 * 4 + 50
    renamed = kit.graph.with_prefix(proto, "network/")
    kit.graph.bring_back(renamed, aside, "network/")
    kit.graph.bring_back(proto, aside)
    assert proto.SerializeToString(deterministic=True) == before
    assert renamed.SerializeToString() == kit.graph.with_prefix(proto, "network/").SerializeToString()
