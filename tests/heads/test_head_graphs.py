"""Every head's decoding, and the choice behind it: the graph does what plain numpy does, alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kit.graph
from kit import axis, tasks
from kit.types import DataType, Interpretation, Layout, Model, Signature, Tensor, Thresholds

Array = np.ndarray[Any, Any]
Make = Callable[["Draw"], tuple[Array, ...]]

FRAME = (networks.HEIGHT, networks.WIDTH)
ANCHORS = networks.CELLS


@dataclass(frozen=True)
class Draw:
    """Random numbers of N frames with A rows; with ``ties`` on a coarse grid, where much is equal."""

    chance: np.random.Generator
    frames: int
    rows: int
    classes: int
    ties: bool

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        values = self.chance.uniform(low, high, (self.frames, *shape))
        step = (high - low) / 8
        return (np.round(values / step) * step if self.ties else values).astype(np.float32)

    def centres(self, unit: float = 64) -> Array:
        return np.concatenate([self.uniform(0, unit, self.rows, 2), self.uniform(0, unit / 2, self.rows, 2)], 2)

    def corners(self, unit: float = 64) -> Array:
        low = self.uniform(0, unit / 2, self.rows, 2)
        return np.concatenate([low, low + self.uniform(0, unit / 2, self.rows, 2)], 2)

    def chances(self, columns: int) -> Array:
        return self.uniform(0, 1, self.rows, columns)

    def logits(self, columns: int) -> Array:
        return self.uniform(-8, 8, self.rows, columns)


def _beside(*parts: Array) -> Array:
    return np.concatenate(parts, axis=2)


def _detections(draw: Draw) -> tuple[Array, ...]:
    labels = draw.chance.integers(1, 90, (draw.frames, draw.rows))
    return draw.corners(), draw.chances(1)[..., 0], labels


def _one_picture(draw: Draw) -> tuple[Array, ...]:
    return tuple(array[0] for array in _detections(draw))


def _end2end(draw: Draw, boxes: Array | None = None) -> Array:
    kinds = draw.chance.integers(0, draw.classes, (draw.frames, draw.rows, 1)).astype(np.float32)
    return _beside(draw.corners() if boxes is None else boxes, draw.chances(1), kinds)


CASES: dict[str, tuple[str, str, Layout, Make]] = {
    "yolov8": ("yolov8", "detect", Layout(), lambda d: (_beside(d.centres(), d.chances(d.classes)).swapaxes(1, 2),)),
    "yolov8 in fractions": (
        "yolov8", "detect", Layout(words=("fractions",)),
        lambda d: (_beside(d.centres(1), d.chances(d.classes)).swapaxes(1, 2),),
    ),
    "yolov8 turned": (
        "yolov8", "detect", Layout(words=("anchors-first",)), lambda d: (_beside(d.centres(), d.chances(d.classes)),),
    ),
    "yolov8 with keypoints": (
        "yolov8", "pose", Layout(extras=12, keypoints=(4, 3)),
        lambda d: (_beside(d.centres(), d.chances(d.classes), d.uniform(0, 9, d.rows, 12)).swapaxes(1, 2),),
    ),
    "yolov8 with keypoints without visibility": (
        "yolov8", "pose", Layout(extras=8, keypoints=(4, 2)),
        lambda d: (_beside(d.centres(), d.chances(d.classes), d.uniform(0, 9, d.rows, 8)).swapaxes(1, 2),),
    ),
    "yolov8 with masks": (
        "yolov8", "instances", Layout(extras=5, outputs=(0, 1)),
        lambda d: (
            _beside(d.centres(), d.chances(d.classes), d.uniform(-1, 1, d.rows, 5)).swapaxes(1, 2),
            d.uniform(-1, 1, 5, 16, 24),
        ),
    ),
    "yolov5": ("yolov5", "detect", Layout(), lambda d: (_beside(d.centres(), d.chances(1 + d.classes)),)),
    "yolov5 in fractions": (
        "yolov5", "detect", Layout(words=("fractions",)), lambda d: (_beside(d.centres(1), d.chances(1 + d.classes)),),
    ),
    "yolox": (
        "yolox", "detect", Layout(words=("raw-grid",)),
        lambda d: (_beside(d.uniform(-1, 1, d.rows, 2), d.uniform(-1, 1, d.rows, 2), d.chances(1 + d.classes)),),
    ),
    "yolox decoded": (
        "yolox", "detect", Layout(words=("decoded",)), lambda d: (_beside(d.centres(), d.chances(1 + d.classes)),),
    ),
    "end2end": ("end2end", "detect", Layout(words=("pixels", "corners")), lambda d: (_end2end(d),)),
    "end2end of queries": (
        "end2end", "detect", Layout(words=("fractions", "centres")), lambda d: (_end2end(d, d.centres(1)),),
    ),
    "end2end with keypoints": (
        "end2end", "pose", Layout(extras=12, keypoints=(4, 3), words=("pixels", "corners")),
        lambda d: (_beside(_end2end(d), d.uniform(0, 9, d.rows, 12)),),
    ),
    "end2end with masks": (
        "end2end", "instances", Layout(extras=5, outputs=(0, 1), words=("pixels", "corners")),
        lambda d: (_beside(_end2end(d), d.uniform(-1, 1, d.rows, 5)), d.uniform(-1, 1, 5, 16, 24)),
    ),
    "detr": (
        "detr", "detect", Layout(outputs=(0, 1), words=("fractions", "centres", "softmax", "background-last")),
        lambda d: (d.centres(1), d.logits(d.classes + 1)),
    ),
    "rt-detr, scores first": (
        "detr", "detect", Layout(outputs=(1, 0), words=("fractions", "centres", "sigmoid", "no-background")),
        lambda d: (d.logits(d.classes), d.centres(1)),
    ),
    "rt-detr in one": (
        "detr", "detect", Layout(words=("fractions", "centres", "probabilities", "no-background")),
        lambda d: (_beside(d.centres(1), d.chances(d.classes)),),
    ),
    "ssd": (
        "ssd", "detect", Layout(outputs=(0, 1), words=("pixels", "corners", "softmax", "background-first")),
        lambda d: (d.corners(), d.logits(d.classes + 1)),
    ),
    "retinanet": (
        "ssd", "detect", Layout(outputs=(0, 1), words=("fractions", "corners", "sigmoid", "no-background")),
        lambda d: (d.corners(1), d.logits(d.classes)),
    ),
    "ultraface": (
        "ssd", "detect", Layout(outputs=(1, 0), words=("fractions", "corners", "probabilities", "background-first")),
        lambda d: (d.chances(d.classes + 1), d.corners(1)),
    ),
    "detections": ("detections", "detect", Layout(outputs=(0, 1, 2), words=("pixels",)), _detections),
    "detections of one picture": (
        "detections", "detect", Layout(outputs=(0, 1, 2), words=("fractions",)), _one_picture,
    ),
}  # fmt: skip


def model_of(raw: tuple[Array, ...], *, opset: int, free: bool, fixed: bool) -> Model:
    """``free``: any number of anchors; ``fixed``: a batch that is not free."""
    tensors = []
    for index, array in enumerate(raw):
        shape = list(array.shape)
        if array.ndim > 1 and not (fixed or len(raw[0].shape) == 2):
            shape[0] = -1
        if free:
            shape = [-1 if axis and size == ANCHORS else size for axis, size in enumerate(shape)]
        if free and array.ndim == 4:
            shape[2:] = [-1, -1]
        if len(raw[0].shape) == 2 and free:
            shape[0] = -1
        kind = DataType.INT64 if array.dtype == np.int64 else DataType.FP32
        tensors.append(Tensor(name=f"o{index}", dtype=kind, shape=tuple(shape)))
    picture = Tensor(name="images", dtype=DataType.FP32, shape=(-1, 3, *FRAME))
    signature = Signature(inputs=(picture,), outputs=tuple(tensors))
    return Model(path=Path("none"), digest="", signature=signature, opset=opset, ir_version=8)


def meaning_of(case: str, classes: int, limits: Thresholds) -> Interpretation:
    head, task, layout, _ = CASES[case]
    return Interpretation(
        task=task, head=head, contract="served", class_count=classes, normalization=None, color="rgb",
        thresholds=limits, reason="", layout=replace(layout, frame=FRAME),
    )  # fmt: skip


def by_graph(raw: tuple[Array, ...], model: Model, meaning: Interpretation) -> dict[str, Array]:
    """Return the served outputs and the task's inner tensors."""
    task = tasks.get(meaning.task)
    text = task.head_graph(model, meaning)
    assert text is not None
    proto = onnx.parser.parse_model(text)
    onnx.checker.check_model(proto, full_check=True)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in task.inner)
    running = kit.graph.session(proto.SerializeToString(), threads=1)
    assert meaning.layout is not None
    feeds = {v.name: raw[index] for v, index in zip(running.get_inputs(), meaning.layout.outputs, strict=True)}
    return dict(zip([o.name for o in running.get_outputs()], running.run(None, feeds), strict=True))


def agree(case: str, raw: tuple[Array, ...], made: dict[str, Array], meaning: Interpretation) -> None:
    """As ``kit.compare`` holds them: what is decoded to rounding, what is decided by that exactly."""
    task = tasks.get(meaning.task)
    given = {f"o{index}": array for index, array in enumerate(raw)} | {name: made[name] for name in task.inner}
    expected = task.reference(given, meaning)
    assert set(expected) == set(made)
    for name, value in expected.items():
        assert made[name].shape == value.shape, f"{case}: {name}"
        if name in task.inner:
            np.testing.assert_allclose(made[name], value, rtol=1e-5, atol=1e-4, err_msg=f"{case}: {name}")
        else:
            np.testing.assert_array_equal(made[name], value, err_msg=f"{case}: {name}")
            assert made[name].dtype == value.dtype


thresholds = st.builds(
    Thresholds,
    score=st.sampled_from([0.0, 0.1, 0.25, 0.6, 0.99]),
    iou=st.sampled_from([0.1, 0.45, 0.7, 1.0]),
    max_detections=st.sampled_from([1, 7, 100, 300]),
)


def test_every_head_is_among_the_cases() -> None:
    assert {head for head, *_ in CASES.values()} == set(axis.names("kit.heads"))


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.integers(1, 3),
    classes=st.integers(1, 20),
    limits=thresholds,
    ties=st.booleans(),
    opset=st.sampled_from([13, 17, 18, 21]),
    free=st.booleans(),
    fixed=st.booleans(),
)
def test_the_graph_does_what_numpy_does(
    case: str, seed: int, frames: int, classes: int, limits: Thresholds, ties: bool, opset: int, free: bool, fixed: bool
) -> None:
    draw = Draw(np.random.default_rng(seed), frames, ANCHORS, classes, ties)
    raw = CASES[case][3](draw)
    meaning = meaning_of(case, classes, limits)
    agree(case, raw, by_graph(raw, model_of(raw, opset=opset, free=free, fixed=fixed), meaning), meaning)


@pytest.mark.parametrize("case", [case for case in CASES if case != "detections of one picture"])
@pytest.mark.parametrize("ties", [False, True], ids=["random", "ties"])
def test_a_frame_is_answered_the_same_alone_and_in_company(case: str, ties: bool) -> None:
    draw = Draw(np.random.default_rng(5), 3, ANCHORS, 4, ties)
    raw, meaning = CASES[case][3](draw), meaning_of(case, 4, Thresholds(max_detections=20))
    model = model_of(raw, opset=17, free=False, fixed=False)
    together = by_graph(raw, model, meaning)
    for frame in range(3):
        alone = by_graph(tuple(array[frame : frame + 1] for array in raw), model, meaning)
        for name, value in alone.items():
            np.testing.assert_array_equal(together[name][frame : frame + 1], value, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_rows_are_in_order_and_empty_after_num(case: str) -> None:
    draw = Draw(np.random.default_rng(9), 2, ANCHORS, 3, ties=False)
    raw, meaning = CASES[case][3](draw), meaning_of(case, 3, Thresholds(score=0.8, max_detections=150))
    made = by_graph(raw, model_of(raw, opset=17, free=False, fixed=False), meaning)
    for frame in range(len(made["num"])):
        count = int(made["num"][frame, 0])
        assert 0 < count < 150
        assert (np.diff(made["scores"][frame]) <= 0).all()
        assert (made["scores"][frame, :count] > np.float32(0.8)).all()
        assert (made["classes"][frame, count:] == -1).all()
        for name in {"boxes", "scores", "keypoints", "masks"} & set(made):
            assert not made[name][frame, count:].any()
