"""Which head a network has: seen from its graph, its metadata and its values; refused where these do not tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import networks
import numpy as np
import onnx
import pytest

import kit.graph
from kit import compare, contract, inputs, simplify, summary
from kit.errors import AmbiguousModelError, UnknownHeadError, UnsupportedModelError, UsageError
from kit.types import Certainty, Graphs, Interpretation, Model, Normalization, Spec

SPEC = Spec(source="m.onnx", name="m", targets=("x86-cpu",))
CERTAIN, LIKELY = Certainty.CERTAIN, Certainty.LIKELY
Simple = Callable[[onnx.ModelProto], Model]


@pytest.fixture
def simple(tmp_path: Path) -> Simple:
    """Return what the simplifier makes of a network: recognition sees no other."""

    def run(proto: onnx.ModelProto) -> Model:
        path = models.save(proto, tmp_path / "source" / "model.onnx")
        (tmp_path / "simple").mkdir(exist_ok=True)
        described = kit.graph.describe(path, kit.graph.write(kit.graph.read(path), path))
        return simplify.simplify(described, tmp_path / "simple")

    return run


RECOGNISED = [
    pytest.param(networks.yolov8(), "detect yolov8", CERTAIN, 5, id="yolov8"),
    pytest.param(networks.yolov8(metadata=networks.ultralytics("detect", 5)), "detect yolov8", CERTAIN, 5, id="yolo11"),
    pytest.param(networks.yolov8(40), "detect yolov8", CERTAIN, 40, id="yolov8 with few anchors to its classes"),
    pytest.param(networks.yolov8(122), "detect yolov8", CERTAIN, 122, id="yolov8 with as many rows as anchors"),
    pytest.param(networks.yolov8(200), "detect yolov8", CERTAIN, 200, id="yolov8 with more rows than anchors"),
    pytest.param(networks.yolov8(half=True), "detect yolov8", CERTAIN, 5, id="yolov8 with FP16 outputs"),
    pytest.param(networks.yolov8(free=True), "detect yolov8", CERTAIN, 5, id="yolov8 whose rows nobody has counted"),
    pytest.param(networks.turned(), "detect yolov8", CERTAIN, 5, id="yolov8 with its anchors first"),
    pytest.param(networks.turned(objectness=True), "detect yolov5", LIKELY, 5, id="yolov6"),
    pytest.param(models.detector(), "detect yolov8", LIKELY, 2, id="a graph of its own with YOLOv8's values"),
    pytest.param(networks.yolov8_pose(), "pose yolov8", CERTAIN, 1, id="pose without metadata"),
    pytest.param(
        networks.yolov8_pose(metadata=networks.ultralytics("pose", 1, kpt_shape=[4, 3])), "pose yolov8", CERTAIN, 1,
        id="pose",
    ),
    pytest.param(
        networks.yolov8_pose(3, 2, metadata=networks.ultralytics("pose", 1, kpt_shape=[3, 2])), "pose yolov8", CERTAIN,
        1, id="pose without visibility",
    ),
    pytest.param(networks.yolov8_segment(), "instances yolov8", CERTAIN, 3, id="segmentation without metadata"),
    pytest.param(
        networks.yolov8_segment(metadata=networks.ultralytics("segment", 3)), "instances yolov8", CERTAIN, 3,
        id="segmentation",
    ),
    pytest.param(networks.yolov5(), "detect yolov5", CERTAIN, 5, id="yolov5"),
    pytest.param(networks.yolov5(1), "detect yolov5", CERTAIN, 1, id="yolov5 with one class has six columns"),
    pytest.param(networks.yolov5(with_maps=True), "detect yolov5", CERTAIN, 5, id="yolov5 with its maps"),
    pytest.param(networks.yolox(), "detect yolox", CERTAIN, 5, id="yolox"),
    pytest.param(networks.yolox(1), "detect yolox", CERTAIN, 1, id="yolox with one class"),
    pytest.param(networks.yolox(decoded=True), "detect yolox", LIKELY, 5, id="yolox decoded"),
    pytest.param(networks.yolov10(), "detect end2end", CERTAIN, None, id="yolov10"),
    pytest.param(
        networks.yolov10(metadata=networks.ultralytics("detect", 5)), "detect end2end", CERTAIN, 5, id="yolo26"
    ),
    pytest.param(
        networks.yolov10(1, extras="pose", metadata=networks.ultralytics("pose", 1, kpt_shape=[4, 3])),
        "pose end2end", CERTAIN, 1, id="yolo26 pose",
    ),
    pytest.param(networks.rtdetr_chosen(), "detect end2end", CERTAIN, None, id="rt-detr with its queries chosen"),
    pytest.param(networks.yolov10(extras="segment"), "instances end2end", CERTAIN, None, id="yolo26 segmentation"),
    pytest.param(networks.detr(background=30.0), "detect detr", LIKELY, 5, id="detr"),
    pytest.param(networks.detr(metadata={"names": "['a', 'b', 'c', 'd', 'e']"}), "detect detr", LIKELY, 5,
                 id="detr by its names"),
    pytest.param(networks.detr(metadata={"names": "['a', 'b', 'c', 'd', 'e', 'f']"}), "detect detr", LIKELY, 6,
                 id="focal by its names"),
    pytest.param(networks.detr(focal=True), "detect detr", LIKELY, 6, id="rt-detr"),
    pytest.param(networks.rtdetr_ultralytics(), "detect detr", CERTAIN, 7, id="rt-detr in one output"),
    pytest.param(networks.ssd(background=9.0), "detect ssd", LIKELY, 3, id="ssd"),
    pytest.param(networks.ssd(background=9.0, fractions=False, ending=""), "detect ssd", LIKELY, 3, id="ssd logits"),
    pytest.param(networks.ssd(ending="Sigmoid", fractions=False), "detect ssd", LIKELY, 4, id="retinanet"),
    pytest.param(networks.torchvision(), "detect detections", CERTAIN, None, id="torchvision"),
    pytest.param(networks.torchvision(flat=True), "detect detections", CERTAIN, None, id="torchvision, one picture"),
    pytest.param(networks.hidden_states(), "raw raw", Certainty.UNSURE, None, id="hidden states"),
    pytest.param(networks.text_recogniser(), "raw raw", Certainty.UNSURE, None, id="a text recogniser"),
    pytest.param(networks.ssd(decoded=False), "raw raw", Certainty.UNSURE, None, id="offsets without anchors"),
    pytest.param(networks.torchvision(batch="n"), "raw raw", Certainty.UNSURE, None, id="lists of many pictures"),
    pytest.param(
        networks.yolov8_pose(1, 3, metadata=networks.ultralytics("obb", 1)), "raw raw", Certainty.UNSURE, None,
        id="oriented boxes",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("proto", "expected", "certainty", "classes"), RECOGNISED)
def test_it_is_seen_and_served_as_what_it_is(
    simple: Simple, tmp_path: Path, proto: onnx.ModelProto, expected: str, certainty: Certainty, classes: int | None
) -> None:
    """The whole path in ONNX Runtime: network, contract, numpy, at every batch that there is."""
    network = simple(proto)
    meaning = contract.interpret(SPEC, network)
    assert f"{meaning.task} {meaning.head}" == expected, meaning.reason
    assert (meaning.certainty, meaning.class_count) == (certainty, classes)
    if meaning.task == "raw":
        return
    served, parity = compared(network, meaning, tmp_path)
    assert parity
    assert [t.name for t in served.signature.outputs][:4] == ["num", "boxes", "scores", "classes"]
    assert served.signature.batched == network.signature.batched
    answer = answers(served)
    assert answer["num"].min() > 0, "nothing was compared"
    if meaning.task == "instances":
        assert 0.01 < answer["masks"][:, : answer["num"].min()].mean() < 0.99


def compared(network: Model, meaning: Interpretation, folder: Path) -> tuple[Model, Any]:
    (folder / "fused").mkdir()
    served = contract.fuse(network, meaning, folder / "fused")
    graphs = Graphs(original=network, reference=None, network=network, meaning=meaning, served=served)
    largest = 3 if served.signature.batched else 1
    samples = inputs.Recipe(signature=served.signature, count=largest).make()
    return served, compare.check_stages(graphs, samples, inputs.batch_sizes(network.signature, largest))


def answers(served: Model) -> dict[str, np.ndarray[Any, Any]]:
    samples = inputs.Recipe(signature=served.signature, count=2).make()
    return compare.runner(served.path)(samples.batch(2))


def turned_around(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Put the last two dimensions of the output the other way round."""
    proto.graph.node[-1].output[0] = "inside"
    proto.graph.node.append(models.node("Transpose", "inside", "output0", perm=[0, 2, 1]))
    sizes = proto.graph.output[0].type.tensor_type.shape.dim
    sizes[1].dim_value, sizes[2].dim_value = sizes[2].dim_value, sizes[1].dim_value
    return proto


@pytest.mark.parametrize(
    ("proto", "rivals"),
    [
        pytest.param(
            networks.detr(), ["--head detr,sigmoid,no-background", "--head detr,softmax,background-last"],
            id="logits of queries",
        ),
        pytest.param(
            turned_around(models.detector()), ["--head yolov5", "--head yolov8,anchors-first"],
            id="rows of anchors with or without objectness",
        ),
        pytest.param(
            networks.ssd(), ["--head ssd,probabilities,background-first", "--head ssd,probabilities,background-last"],
            id="a softmax with a background somewhere",
        ),
        pytest.param(
            networks.ssd(ending=""), ["--head ssd,sigmoid,no-background", "--head ssd,softmax,background-first"],
            id="logits of anchors",
        ),
    ],
)  # fmt: skip
def test_a_guess_between_two_is_refused_with_both(simple: Simple, proto: onnx.ModelProto, rivals: list[str]) -> None:
    network = simple(proto)
    with pytest.raises(AmbiguousModelError) as caught:
        contract.interpret(SPEC, network)
    assert " or ".join(rivals) in str(caught.value)
    answered = []
    for rival in rivals:
        meaning = contract.interpret(replace(SPEC, head=rival.removeprefix("--head ")), network)
        assert meaning.certainty is CERTAIN
        answered.append((meaning.class_count, meaning.layout))
    assert len(set(answered)) == len(rivals)
    assert contract.interpret(replace(SPEC, contract="native"), network).contract == "native"


class TestWhatTheUserSays:
    @pytest.mark.parametrize(
        ("proto", "head", "words", "classes"),
        [
            (networks.yolox(), "yolov5", (), 5),
            (networks.yolox(), "yolox,decoded", ("decoded",), 5),
            (networks.yolov5(), "yolov5,fractions", ("fractions",), 5),
            (networks.detr(), "detr,softmax", ("fractions", "centres", "softmax", "background-last"), 5),
            (networks.detr(), "detr,background-first", ("fractions", "centres", "softmax", "background-first"), 5),
            (networks.detr(), "detr,no-background", ("fractions", "centres", "sigmoid", "no-background"), 6),
            (networks.ssd(), "ssd,background-last", ("fractions", "corners", "probabilities", "background-last"), 3),
            (networks.ssd(), "ssd,pixels,no-background", ("pixels", "corners", "probabilities", "no-background"), 4),
            (networks.rtdetr_ultralytics(), "yolov5", (), 6),
        ],
    )
    def test_is_done(
        self, simple: Simple, proto: onnx.ModelProto, head: str, words: tuple[str, ...], classes: int
    ) -> None:
        meaning = contract.interpret(replace(SPEC, head=head), simple(proto))
        assert meaning.head == head.split(",", maxsplit=1)[0]
        assert meaning.layout is not None
        assert (meaning.layout.words, meaning.class_count) == (words, classes)
        assert meaning.certainty is CERTAIN

    @pytest.mark.parametrize(
        ("head", "words"),
        [
            ("yolo8", 'unknown head "yolo8"; did you mean "yolov8"? choose from detections, detr, '),
            (
                "yolox,raw",
                'head "yolox" has no variation "raw"; did you mean "raw-grid"? choose from decoded, raw-grid',
            ),
            ("end2end,raw", 'head "end2end" has no variation "raw"; choose from centres, corners, fractions, pixels'),
            ("detr,sigmoid,softmax", "sigmoid and softmax exclude each other; give one of them"),
        ],
    )
    def test_is_refused_where_there_is_no_such_head(self, simple: Simple, head: str, words: str) -> None:
        with pytest.raises(UnknownHeadError) as caught:
            contract.interpret(replace(SPEC, head=head), simple(networks.yolox()))
        assert words in str(caught.value)

    @pytest.mark.parametrize("head", ["detections", "ssd", "yolox,raw-grid"])
    def test_is_refused_where_the_shapes_cannot_be_it(self, simple: Simple, head: str) -> None:
        with pytest.raises(UnsupportedModelError, match="this model gives output0 FP32"):
            contract.interpret(replace(SPEC, head=head), simple(networks.yolov8()))

    def test_is_refused_with_a_task_that_has_no_heads(self, simple: Simple) -> None:
        with pytest.raises(UsageError, match="task classify has no heads to choose from; leave --head out"):
            contract.interpret(replace(SPEC, task="classify", head="yolov8"), simple(models.classifier()))


@pytest.mark.parametrize("told", [False, True], ids=["by values", "by metadata"])
def test_chosen_queries_are_not_taken_for_pixels(simple: Simple, told: bool) -> None:
    """The same shape as YOLO26's, and other boxes in it."""
    metadata = networks.ultralytics("detect", 5, head="RTDETRDecoder") if told else None
    meaning = contract.interpret(SPEC, simple(networks.rtdetr_chosen(metadata=metadata)))
    assert meaning.head == "end2end"
    assert meaning.layout is not None
    assert meaning.layout.words == ("fractions", "centres")
    assert "boxes are centres and sizes in fractions of the frame" in meaning.reason


def test_one_picture_without_a_batch_takes_frames(simple: Simple, tmp_path: Path) -> None:
    network = simple(networks.torchvision(flat=True))
    served, _ = compared(network, contract.interpret(SPEC, network), tmp_path)
    assert (served.signature.inputs[0].dtype.value, served.signature.inputs[0].shape) == ("UINT8", (1, -1, -1, 3))
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 70, 3), dtype=np.uint8)
    answer = compare.runner(served.path)({"picture": frame})
    alone = compare.runner(network.path)({"picture": (frame[0].transpose(2, 0, 1) / np.float32(255))})
    count = int(answer["num"][0, 0])
    assert 0 < count == (alone["scores"] > 0.25).sum()
    np.testing.assert_allclose(answer["boxes"][0, :count], alone["boxes"][:count], rtol=1e-4)
    np.testing.assert_array_equal(answer["classes"][0, :count], alone["labels"][:count])


class TestWhatIsSaid:
    def test_a_background_that_is_dropped(self, simple: Simple) -> None:
        meaning = contract.interpret(SPEC, simple(networks.ssd(background=9.0)))
        assert "the first of 4 columns is background, dropped" in summary.meaning(SPEC, meaning)

    def test_outputs_that_are_left_out(self, simple: Simple) -> None:
        meaning = contract.interpret(SPEC, simple(networks.yolov5(with_maps=True)))
        assert "map0, map1, map2 left out" in summary.meaning(SPEC, meaning)

    def test_the_pixels_that_a_head_takes(self, simple: Simple) -> None:
        network = simple(networks.yolox())
        meaning = contract.interpret(SPEC, network)
        assert (meaning.normalization, meaning.color) == (Normalization(scale=1.0), "bgr")
        assert "pixels from 0 to 255 in BGR assumed (--mean, --std, --color)" in summary.meaning(SPEC, meaning)
        asked = replace(SPEC, color="rgb", normalization=Normalization())
        meaning = contract.interpret(asked, network)
        assert (meaning.normalization, meaning.color) == (Normalization(), "rgb")
        assert "assumed" not in summary.meaning(asked, meaning)

    def test_how_sure_it_is(self, simple: Simple) -> None:
        said = summary.meaning(SPEC, contract.interpret(SPEC, simple(networks.yolov8())))
        assert said.startswith("detect (yolov8, certain): one output [N, 4 + 5, 126]")


@pytest.mark.parametrize("name", ["yolov8", "yolov8_segment"])
@pytest.mark.parametrize("batch", [1, 3], ids=["one", "three"])
def test_a_fixed_batch_stays_fixed(simple: Simple, tmp_path: Path, name: str, batch: int) -> None:
    network = simple(getattr(networks, name)(batch=batch))
    served, _ = compared(network, contract.interpret(SPEC, network), tmp_path)
    assert {t.shape[0] for t in (*served.signature.inputs, *served.signature.outputs)} == {batch}


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("name", ["yolov8", "yolov8_segment"])
def test_every_opset_is_served(simple: Simple, tmp_path: Path, name: str, opset: int) -> None:
    network = simple(getattr(networks, name)(opset=opset))
    served, _ = compared(network, contract.interpret(SPEC, network), tmp_path)
    assert served.opset == opset
