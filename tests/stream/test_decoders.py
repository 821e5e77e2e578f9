import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import ModelContractError, UnknownHeadError, UnknownTaskError
from kit.stream import decode
from kit.stream.decode.head import meaning
from kit.stream.decode.interface import Reading, Shown
from kit.stream.letterbox import Letterbox
from kit.stream.results import Classification, Detections, Embedding, Instances, Poses, Segmentation, Tensors
from kit.tasks import _suppression
from kit.types import DataType, Tensor, Thresholds

SQUARE = Letterbox(source_width=100, source_height=100, input_width=100, input_height=100)
YOLO = Shown(outputs=(Tensor(name="y", dtype=DataType.FP32, shape=(5, 1)),), height=100, width=100)
WIDE = Letterbox(source_width=200, source_height=100, input_width=100, input_height=100)


def tensor(name: str, dtype: str, *shape: int) -> Tensor:
    return Tensor(name=name, dtype=DataType(dtype), shape=shape)


def chosen(*outputs: Tensor, task: str | None = None) -> str:
    return decode.choose(Shown(outputs=outputs, height=64, width=64), task)[0].name


def reading(box: Letterbox = SQUARE, **limits: float) -> Reading:
    return Reading(letterbox=box, thresholds=Thresholds(**limits), shown=YOLO)  # type: ignore[arg-type]


def head_shown(shape: tuple[int, ...], head: str | None = None, *more: Tensor) -> Shown:
    return Shown(outputs=(tensor("y", "FP32", *shape), *more), height=100, width=100, head=head)


SERVED = (
    tensor("num", "INT32", 1), tensor("boxes", "FP32", 100, 4), tensor("scores", "FP32", 100),
    tensor("classes", "INT32", 100),
)  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "name"),
    [
        (SERVED, "detect"),
        ((*SERVED, tensor("masks", "UINT8", 100, 16, 16)), "instances"),
        ((*SERVED, tensor("keypoints", "FP32", 100, 17, 3)), "pose"),
        ((tensor("embedding", "FP32", 512),), "embed"),
        ((tensor("classes", "UINT8", 60, 60),), "segment"),
        ((tensor("output0", "FP32", 84, 8400),), "head"),
        ((tensor("output0", "FP16", 14, -1),), "head"),
        ((tensor("probabilities", "FP32", 10),), "classify"),
        ((tensor("logits", "FP32", 1000),), "classify"),
        ((tensor("classes", "UINT8", 64, 64),), "segment"),
        ((tensor("scores", "FP32", 21, 64, 64),), "segment"),
        ((tensor("out", "FP32", 21, 16, 16), tensor("aux", "FP32", 21, 16, 16)), "segment"),
        ((tensor("a", "FP32", 7, 7), tensor("b", "INT64", 1)), "raw"),
        ((tensor("one", "FP32", 1),), "raw"),
        ((tensor("maps", "FP32", 3, 60, 60),), "raw"),
    ],
)
def test_outputs_are_recognised(outputs: tuple[Tensor, ...], name: str) -> None:
    assert chosen(*outputs) == name


def test_a_user_may_know_better() -> None:
    assert chosen(tensor("embedding", "FP32", 512), task="raw") == "raw"
    with pytest.raises(UnknownTaskError, match='did you mean "detect"'):
        chosen(*SERVED, task="detcet")
    with pytest.raises(ModelContractError, match=r"segment takes .* this model gives num INT32 \[1\].*--task raw"):
        chosen(*SERVED, task="segment")


@st.composite
def heads(draw: st.DrawFn) -> np.ndarray:
    """Heads [4 + C, A] with many overlaps and ties."""
    classes, anchors = draw(st.integers(1, 4)), draw(st.integers(12, 60))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = generator.choice([8.0, 10.0, 30.0], (2, anchors))
    centres = generator.choice(np.arange(10, 90, draw(st.sampled_from([2, 5, 20]))), (2, anchors))
    scores = np.round(generator.random((classes, anchors)) ** 2, draw(st.sampled_from([1, 2, 5])))
    return np.concatenate([centres, sizes, scores]).astype(np.float32)


@given(heads(), st.sampled_from([0.1, 0.25, 0.5]), st.sampled_from([0.1, 0.45, 0.7]), st.sampled_from([1, 5, 100]))
@settings(deadline=None)
def test_a_raw_head_is_read_as_the_served_graph_reads_it(head: np.ndarray, score: float, iou: float, most: int) -> None:
    limits = Thresholds(score=score, iou=iou, max_detections=most)
    shown = head_shown(head.shape)
    member, read = meaning(shown) or pytest.fail("not recognised")
    expected = _suppression.frames(
        member.decode((head[np.newaxis],), read), limits, min(head.shape[1], max(1000, most))
    )
    found = decode.get("head").decode({"y": head}, Reading(letterbox=SQUARE, thresholds=limits, shown=shown))
    assert same(found, expected)


def same(found: object, expected: dict[str, np.ndarray]) -> bool:
    served = decode.get("detect").decode({name: rows[0] for name, rows in expected.items()}, reading())
    assert isinstance(found, Detections)
    assert isinstance(served, Detections)
    assert np.array_equal(found.scores, served.scores)
    assert np.array_equal(found.classes, served.classes)
    return np.allclose(found.boxes, served.boxes)


@pytest.mark.parametrize(
    ("head", "shapes"),
    [
        ("yolov5", [(189, 7)]),
        ("yolox,raw-grid", [(189, 7)]),
        ("end2end", [(30, 6)]),
        ("end2end,fractions,centres", [(30, 6)]),
        ("detr,sigmoid", [(20, 5), (20, 4)]),
        ("detr,softmax", [(20, 5), (20, 4)]),
        ("ssd", [(40, 4), (40, 3)]),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_heads_that_a_user_names_are_read_as_the_kit_serves_them(
    head: str, shapes: list[tuple[int, ...]], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    outputs = tuple(tensor(f"y{i}", "FP32", *shape) for i, shape in enumerate(shapes))
    shown = Shown(outputs=outputs, height=96, width=96, head=head)
    decoder, recognition = decode.choose(shown, "detect")
    assert decoder.name == "head"
    member, read = meaning(shown) or pytest.fail("not recognised")
    arrays = {t.name: generator.random(t.shape).astype(np.float32) for t in outputs}
    if head.startswith("end2end"):
        arrays["y0"][:, 5] = generator.integers(0, 3, 30)
    assert read.layout is not None
    raw = tuple(arrays[outputs[index].name][np.newaxis] for index in read.layout.outputs)
    limits = Thresholds(score=0.3)
    decoded = member.decode(raw, read)
    expected = _suppression.frames(decoded, limits, decoded.best.shape[1] if member.suppress else None)
    assert expected["num"][0, 0] > 0
    backwards = dict(reversed(list(arrays.items())))  # a server may answer in any order
    box = Letterbox(source_width=100, source_height=100, input_width=100, input_height=100)
    assert same(decoder.decode(backwards, Reading(letterbox=box, thresholds=limits, shown=shown)), expected)
    if head.startswith("yolox"):
        assert (recognition.color, recognition.normalization.scale) == ("bgr", 1.0)


def test_a_head_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownHeadError, match='did you mean "yolox"'):
        decode.choose(head_shown((84, 8400), "yoloxx"), "detect")
    with pytest.raises(ModelContractError, match=r"detect takes .* this model gives y FP32 \[84, 8400\] for a frame"):
        decode.choose(head_shown((84, 8400), "ssd"), "detect")


def test_a_head_of_half_precision_is_read() -> None:
    head = np.array([[50], [50], [20], [20], [0.9]], np.float16)
    found = decode.get("head").decode({"y": head}, reading(WIDE))
    assert isinstance(found, Detections)
    assert found.boxes.tolist() == [[80, 30, 120, 70]]  # the wide frame was halved and lies 25 pixels down


def test_nothing_found_is_an_answer() -> None:
    shown = head_shown((6, 20))
    found = decode.get("head").decode(
        {"y": np.zeros((6, 20), np.float32)}, Reading(letterbox=SQUARE, thresholds=Thresholds(), shown=shown)
    )
    assert isinstance(found, Detections)
    assert (len(found), found.boxes.shape) == (0, (0, 4))


class TestClassify:
    def test_probabilities_stay_and_scores_become_some(self) -> None:
        given = np.array([0.2, 0.5, 0.3], np.float32)
        kept = decode.get("classify").decode({"y": given}, reading())
        assert isinstance(kept, Classification)
        assert np.array_equal(kept.probabilities, given)
        made = decode.get("classify").decode({"y": np.array([1, 3, 900], np.float32)}, reading())
        assert isinstance(made, Classification)
        assert made.probabilities.tolist() == [0, 0, 1]
        assert made.top(2) == ((2, 1.0), (0, 0.0))

    def test_what_the_kit_serves_is_never_changed(self) -> None:
        several = np.array([0.9, 0.8], np.float32)
        kept = decode.get("classify").decode({"probabilities": several}, reading())
        assert isinstance(kept, Classification)
        assert np.array_equal(kept.probabilities, several)


def served(count: int, **more: np.ndarray) -> dict[str, np.ndarray]:
    boxes = np.tile(np.array([10, 30, 60, 70], np.float32), (5, 1))
    rows = {"num": np.array([count]), "boxes": boxes, "scores": np.full(5, 0.5), "classes": np.full(5, 2)}
    return {**rows, **more}


def test_masks_are_cut_as_the_frame_lies_and_grow_with_it() -> None:
    masks = np.zeros((5, 25, 25), np.uint8)  # a quarter of the input
    masks[0, :12] = 1
    found = decode.get("instances").decode(served(2, masks=masks), reading(WIDE))
    assert isinstance(found, Instances)
    assert found.boxes[0].tolist() == [20, 10, 120, 90]
    assert found.masks.shape == (2, 13, 25) or found.masks.shape == (2, 12, 25)
    whole = found.mask_at_source(0)
    assert whole.shape == (100, 200)
    assert whole[:45].all()
    assert not whole[55:].any()
    assert not found.mask_at_source(1).any()


def test_keypoints_are_mapped_as_boxes_are() -> None:
    keypoints = np.zeros((5, 2, 3), np.float32)
    keypoints[0] = [[10, 30, 1], [60, 99, 0.5]]
    found = decode.get("pose").decode(served(1, keypoints=keypoints), reading(WIDE))
    assert isinstance(found, Poses)
    assert found.keypoints.tolist() == [[[20, 10, 1], [120, 100, 0.5]]]  # the second lay below the frame
    empty = decode.get("pose").decode(served(0, keypoints=keypoints), reading(WIDE))
    assert isinstance(empty, Poses)
    assert empty.keypoints.shape == (0, 2, 3)


def test_an_embedding_is_handed_on() -> None:
    found = decode.get("embed").decode({"embedding": np.arange(4, dtype=np.float16)}, reading())
    assert isinstance(found, Embedding)
    assert found.vector.tolist() == [0, 1, 2, 3]


class TestSegment:
    def test_the_padding_is_cut_off_and_the_rest_grows_to_the_source(self) -> None:
        classes = np.zeros((100, 100), np.uint8)
        classes[25:75, 50:] = 3
        found = decode.get("segment").decode({"classes": classes}, reading(WIDE))
        assert isinstance(found, Segmentation)
        assert found.classes.shape == (50, 100)
        whole = found.at_source()
        assert whole.shape == (100, 200)
        assert (whole[:, 100:] == 3).all()
        assert (whole[:, :100] == 0).all()

    def test_the_largest_score_wins(self) -> None:
        scores = np.zeros((300, 10, 10), np.float32)
        scores[299] = 1
        found = decode.get("segment").decode({"scores": scores}, reading())
        assert isinstance(found, Segmentation)
        assert found.classes.dtype == np.int32
        assert (found.classes == 299).all()

    @pytest.mark.parametrize(("low", "high"), [(0.1, 0.9), (-4.0, 5.0)])
    def test_one_channel_is_a_mask(self, low: float, high: float) -> None:
        scores = np.full((1, 10, 10), low, np.float32)
        scores[0, 5:] = high
        found = decode.get("segment").decode({"mask": scores}, reading())
        assert isinstance(found, Segmentation)
        assert found.classes.tolist() == [[0] * 10] * 5 + [[1] * 10] * 5


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 90), st.integers(1, 90))
def test_every_pixel_of_the_source_has_the_class_that_lies_over_its_centre(
    h: int, w: int, rows: int, cols: int
) -> None:
    numbered = np.arange(h * w, dtype=np.int32).reshape(h, w)
    whole = Segmentation(classes=numbered, source_width=cols, source_height=rows).at_source()
    for row, column in ((0, 0), (rows - 1, cols - 1), (rows // 2, cols // 3)):
        assert whole[row, column] == numbered[int((row + 0.5) * h / rows), int((column + 0.5) * w / cols)]


def test_raw_hands_on() -> None:
    given = {"a": np.arange(3)}
    found = decode.get("raw").decode(given, reading())
    assert isinstance(found, Tensors)
    assert found.arrays == given
