"""What a graph shows of its outputs: parts, operators and one answer; nothing is read or run that is not asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import models
import networks
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kit.graph
from kit import evidence
from kit.evidence import Evidence, Piece
from kit.types import DataType, Model, Signature, Tensor

See = Callable[[onnx.ModelProto], Evidence]


@pytest.fixture
def see(tmp_path: Path) -> See:
    def run(proto: onnx.ModelProto) -> Evidence:
        path = models.save(proto, tmp_path / "model.onnx")
        return evidence.of(kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path)))

    return run


def with_metadata(**metadata: str) -> Evidence:
    tensor = Tensor(name="x", dtype=DataType.FP32, shape=(-1, 3, 8, 8))
    signature = Signature(inputs=(tensor,), outputs=(tensor,))
    return Evidence(Model(path=Path("nowhere.onnx"), digest="", signature=signature, metadata=metadata, opset=17,
                          ir_version=8))  # fmt: skip


def test_parts_are_found_behind_changes_of_form_and_other_concatenations(see: See) -> None:
    box, scores = Piece(size=4, maker="Mul"), Piece(size=5, maker="Sigmoid")
    assert see(networks.yolov8()).pieces(0, 9) == (box, scores)
    inner = see(networks.yolov8_segment()).pieces(0, 13)
    assert [(piece.size, piece.maker) for piece in inner] == [(4, "Mul"), (3, "Sigmoid"), (6, "Conv")]
    across = see(networks.yolov5()).pieces(0, 10)
    assert [piece.size for piece in across] == [2, 2, 6]


@pytest.mark.parametrize("size", [1, 8, 10, 126])
def test_parts_of_another_size_are_none(see: See, size: int) -> None:
    assert see(networks.yolov8()).pieces(0, size) == ()


def test_what_is_not_put_together_has_no_parts(see: See) -> None:
    assert see(models.classifier()).pieces(0, 3) == ()


def test_operators_and_the_last_of_them(see: See) -> None:
    seen = see(networks.yolox(decoded=True))
    assert {"Exp", "Sigmoid", "Conv"} <= seen.operators(0)
    assert see(networks.detr()).ending(0) == "Sigmoid"
    assert see(networks.detr()).ending(1) == "Conv"


def test_the_answer_is_that_of_the_network_and_is_asked_for_once(see: See) -> None:
    seen = see(networks.yolov8())
    assert seen.samples is seen.samples
    assert seen.samples is not None
    assert [value.shape for value in seen.samples] == [(1, 9, networks.CELLS)]


def test_a_network_that_does_not_run_has_no_answer(see: See) -> None:
    broken = models.build(
        [models.node("Reshape", "x form", "y")],
        [("x", models.FLOAT, ("n", 3, "h", "w"))],
        [("y", models.FLOAT, ("n", 7, 11))],
        {"form": np.array([-1, 7, 11], np.int64)},
    )
    assert see(broken).samples is None


def test_metadata_alone_reads_no_file() -> None:
    seen = with_metadata(names="{0: 'a', 1: 'b'}", kpt_shape="[17, 3]")
    assert (seen.named_classes, seen.literal("kpt_shape"), seen.frame) == (2, [17, 3], (8, 8))


@given(
    text=st.text(max_size=40) | st.sampled_from(["{}", "[]", "((((", "{0: 'a'", "__import__('os')", "None", "1e999"])
)
def test_metadata_of_any_kind_is_read_or_left(text: str) -> None:
    seen = with_metadata(names=text, kpt_shape=text)
    assert seen.named_classes is None or seen.named_classes > 0
    seen.literal("kpt_shape")


def test_several_that_ask_share_what_was_seen(see: See) -> None:
    first = see(networks.yolov8())
    assert evidence.of(first.model) is first
    assert see(networks.yolov5()) is not first
