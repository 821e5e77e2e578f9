"""What an ONNX file consists of, read without running it."""

from __future__ import annotations

from typing import Any

import models
import numpy as np
import onnx
import pytest
from models import node
from onnx import TensorProto

from kit import anatomy


def of_node(operator: str, domain: str) -> onnx.ModelProto:
    made = onnx.helper.make_node(operator, ["x"], ["y"], domain=domain)
    proto = models.build([made], [("x", models.FLOAT, ("n", 4))], [("y", models.FLOAT, ("n", 4))])
    if domain:
        proto.opset_import.add(domain=domain, version=1)
    return proto


class TestOperators:
    def test_are_counted_most_frequent_first(self) -> None:
        found = anatomy.of(models.classifier(opset=17))
        assert [(o.name, o.count) for o in found.operators] == [
            ("Add", 1), ("Flatten", 1), ("GlobalAveragePool", 1), ("MatMul", 1)
        ]  # fmt: skip
        assert found.opsets == {"ai.onnx": 17}
        assert (found.ir_version, found.customs, found.quantization, found.external) == (8, (), None, ())

    def test_of_inner_graphs_are_counted_too(self) -> None:
        inner = models.build([node("Relu", "x", "z")], [], [("z", models.FLOAT, ("n",))]).graph
        branch = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        proto = models.build([branch], [("x", models.FLOAT, ("n",)), ("c", TensorProto.BOOL, ())],
                             [("y", models.FLOAT, ("n",))])  # fmt: skip
        assert {(o.name, o.count) for o in anatomy.of(proto).operators} == {("Relu", 2), ("If", 1)}

    @pytest.mark.parametrize(
        ("operator", "domain", "served", "words"),
        [
            ("Gelu", "com.microsoft", True, "ONNX Runtime's own"),
            ("Conv", "com.microsoft.nchwc", True, "for the CPU it ran on"),
            ("EfficientNMS_TRT", "", False, "a TensorRT plugin"),
            ("BatchedNMS_TRT", "trt.plugins", False, "a TensorRT plugin"),
            ("MMCVRoiAlign", "mmcv", False, "without its maker's library"),
            ("NoSuchOperator", "", False, "without its maker's library"),
        ],
    )
    def test_that_are_not_onnx_s_own_are_named_with_who_runs_them(
        self, operator: str, domain: str, served: bool, words: str
    ) -> None:
        (custom,) = anatomy.of(of_node(operator, domain)).customs
        assert (custom.domain, custom.name, custom.count, custom.served) == (domain, operator, 1, served)
        assert words in custom.reason

    def test_that_the_model_brings_itself_are_not_custom(self) -> None:
        proto = of_node("Twice", "mine")
        body = [onnx.helper.make_node("Add", ["a", "a"], ["b"])]
        proto.functions.append(
            onnx.helper.make_function("mine", "Twice", ["a"], ["b"], body, [onnx.helper.make_opsetid("", 17)])
        )
        found = anatomy.of(proto)
        assert (found.customs, found.functions) == ((), ("mine::Twice",))
        assert [(o.name, o.count) for o in found.operators] == [("Add", 1)]


class TestWeights:
    def test_are_counted_by_type_without_shapes_and_indices(self) -> None:
        weights: dict[str, Any] = {
            "a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16), "c": np.zeros(7, np.int8),
            "shape": np.array([1, -1]), "bias": np.zeros(3, np.int32),
        }  # fmt: skip
        proto = models.build([node("Identity", "x", "y")], [("x", models.FLOAT, (1,))], [("y", models.FLOAT, (1,))],
                             weights)  # fmt: skip
        found = anatomy.of(proto)
        assert [(w.dtype, w.count, w.size) for w in found.weights] == [
            ("FP32", 12, 48),
            ("INT8", 7, 7),
            ("FP16", 5, 10),
        ]
        assert found.parameters == 24

    def test_of_four_bits_are_half_a_byte(self) -> None:
        proto = models.scale()
        proto.graph.initializer.append(onnx.helper.make_tensor("w", TensorProto.INT4, (3,), [1, 2, 3]))
        assert [(w.dtype, w.count, w.size) for w in anatomy.of(proto).weights if w.dtype == "INT4"] == [("INT4", 3, 2)]

    def test_beside_the_file_are_named(self) -> None:
        proto = models.classifier()
        for tensor in proto.graph.initializer:
            onnx.external_data_helper.set_external_data(tensor, location="weights.bin")
            tensor.ClearField("raw_data")
        assert anatomy.of(proto).external == ("weights.bin",)
        assert anatomy.of(proto).parameters == 12


@pytest.mark.parametrize(
    ("operators", "said"),
    [
        (["Conv"], None),
        (["QuantizeLinear", "DequantizeLinear", "DequantizeLinear"], "Q/DQ: 1 quantise, 2 dequantise"),
        (["QuantizeLinear", "QLinearConv", "DequantizeLinear"], "QOperator: 1 operators on integers"),
        (["DynamicQuantizeLinear", "MatMulInteger"], "dynamic: activations are quantised as they come"),
        (["MatMulNBits"], "weights only"),
    ],
)
def test_quantisation_is_told_from_the_operators(operators: list[str], said: str | None) -> None:
    nodes = [onnx.helper.make_node(name, ["x"], [f"y{i}"]) for i, name in enumerate(operators)]
    proto = models.build(nodes, [("x", models.FLOAT, (1,))], [("y0", models.FLOAT, (1,))])
    assert anatomy.of(proto).quantization == said
