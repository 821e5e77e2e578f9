"""The detector's post-processing: the graph, its numpy reference and a plain third opinion agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kit.graph
from kit import tasks
from kit.types import DataType, Interpretation, Layout, Model, Signature, Tensor, Thresholds

DETECT = tasks.get("detect")
LIMITS = Thresholds(score=0.25, iou=0.45, max_detections=20)


def model_of(classes: int, anchors: int, opset: int = 17, batch: int = -1) -> Model:
    head = Tensor(name="output0", dtype=DataType.FP32, shape=(batch, 4 + classes, anchors))
    picture = Tensor(name="images", dtype=DataType.FP32, shape=(batch, 3, 32, 32))
    return Model(
        path=Path("none"), digest="", signature=Signature(inputs=(picture,), outputs=(head,)), opset=opset, ir_version=8
    )


def meaning_of(classes: int, limits: Thresholds) -> Interpretation:
    return Interpretation(
        task="detect",
        head="yolov8",
        contract="served",
        class_count=classes,
        normalization=None,
        color="rgb",
        thresholds=limits,
        reason="",
        layout=Layout(),
    )


def heads(
    seed: int, frames: int, classes: int, anchors: int, *, ties: bool, logits: bool = False
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random heads; with ``ties`` on a coarse grid, where many scores, boxes and overlaps are equal."""
    chance = np.random.default_rng(seed)
    centre, size = chance.uniform(0, 64, (frames, 2, anchors)), chance.uniform(0, 40, (frames, 2, anchors))
    scores = (
        chance.normal(-1, 2, (frames, classes, anchors)) if logits else chance.beta(0.6, 2, (frames, classes, anchors))
    )
    if ties:
        centre, size, scores = np.round(centre / 8) * 8, np.round(size / 8) * 8, np.round(scores, 1)
    return np.concatenate([centre, size, scores], axis=1).astype(np.float32)


def by_graph(
    raw: np.ndarray[Any, Any], limits: Thresholds, opset: int = 17, anchors: int | None = None
) -> dict[str, Any]:
    classes = raw.shape[1] - 4
    model = model_of(classes, raw.shape[2] if anchors is None else anchors, opset)
    text = DETECT.head_graph(model, meaning_of(classes, limits))
    assert text is not None
    proto = onnx.parser.parse_model(text)
    onnx.checker.check_model(proto, full_check=True)
    running = kit.graph.session(proto.SerializeToString(), threads=1)
    return dict(zip(("num", "boxes", "scores", "classes"), running.run(None, {"raw0": raw}), strict=True))


def by_hand(frame: np.ndarray[Any, Any], limits: Thresholds) -> list[tuple[float, int, tuple[float, ...]]]:
    """Written for this test: sort, keep what no better one of its class overlaps, cut."""
    scores = frame[4:].max(axis=0)
    order = sorted(range(frame.shape[1]), key=lambda a: -scores[a])[: max(1000, limits.max_detections)]
    kept: list[tuple[float, int, tuple[float, ...]]] = []
    for anchor in order:
        if not scores[anchor] > np.float32(limits.score):
            continue
        x, y, w, h = frame[:4, anchor]
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        kind = int(frame[4:, anchor].argmax())
        if all(k != kind or overlap(box, b) <= np.float32(limits.iou) for _, k, b in kept):
            kept.append((float(scores[anchor]), kind, box))
    return kept[: limits.max_detections]


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> np.float32:
    width, height = (np.float32(min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    if width <= 0 or height <= 0:
        return np.float32(0)
    areas = [np.float32(c[2] - c[0]) * np.float32(c[3] - c[1]) for c in (a, b)]
    return width * height / (areas[0] + areas[1] - width * height)


thresholds = st.builds(
    Thresholds,
    score=st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.6, 0.99]) | st.floats(0, 0.99),
    iou=st.sampled_from([0.1, 0.3, 0.45, 0.6, 0.7, 1.0]) | st.floats(0.01, 1),
    max_detections=st.integers(1, 300),
)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.integers(1, 3),
    classes=st.integers(1, 80),
    anchors=st.integers(5, 300) | st.sampled_from([999, 1000, 1001, 3000]),
    limits=thresholds,
    ties=st.booleans(),
    logits=st.booleans(),
    opset=st.sampled_from([13, 17, 18, 21]),
)
def test_the_graph_does_what_numpy_does(
    seed: int, frames: int, classes: int, anchors: int, limits: Thresholds, ties: bool, logits: bool, opset: int
) -> None:
    raw = heads(seed, frames, classes, anchors, ties=ties, logits=logits)
    made = by_graph(raw, limits, opset)
    expected = DETECT.reference({"raw": raw}, meaning_of(classes, limits))
    for name, value in made.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
        assert value.dtype == expected[name].dtype
    for frame in range(frames):
        rows = by_hand(raw[frame], limits)
        count = int(made["num"][frame, 0])
        assert count == len(rows)
        np.testing.assert_allclose(made["scores"][frame, :count], [r[0] for r in rows])
        assert made["classes"][frame, :count].tolist() == [r[1] for r in rows]
        if rows:
            np.testing.assert_allclose(made["boxes"][frame, :count], [r[2] for r in rows], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), classes=st.integers(1, 8), anchors=st.integers(5, 120), limits=thresholds)
def test_what_the_contract_promises(seed: int, classes: int, anchors: int, limits: Thresholds) -> None:
    made = by_graph(heads(seed, 2, classes, anchors, ties=False), limits)
    assert made["boxes"].shape == (2, limits.max_detections, 4)
    for frame in range(2):
        count = int(made["num"][frame, 0])
        scores, kinds, boxes = (made[name][frame] for name in ("scores", "classes", "boxes"))
        assert (np.diff(scores) <= 0).all()
        assert (scores[:count] > limits.score).all()
        assert ((kinds[:count] >= 0) & (kinds[:count] < classes)).all()
        assert not scores[count:].any()
        assert not boxes[count:].any()
        assert (kinds[count:] == -1).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), ties=st.booleans())
def test_a_frame_is_answered_the_same_alone_and_in_company(seed: int, ties: bool) -> None:
    raw = heads(seed, 4, 5, 80, ties=ties)
    together = by_graph(raw, LIMITS)
    for frame in range(4):
        alone = by_graph(raw[frame : frame + 1], LIMITS)
        for name, value in alone.items():
            np.testing.assert_array_equal(together[name][frame : frame + 1], value)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), low=st.floats(0.05, 0.5), high=st.floats(0.5, 0.95))
def test_a_higher_score_threshold_only_takes_detections_away(seed: int, low: float, high: float) -> None:
    raw = heads(seed, 1, 3, 60, ties=False)
    many, few = (by_graph(raw, Thresholds(score=t, iou=0.5, max_detections=60)) for t in (low, high))
    count = int(few["num"][0, 0])
    np.testing.assert_array_equal(many["boxes"][0, :count], few["boxes"][0, :count])


def test_boxes_of_different_classes_do_not_suppress_each_other() -> None:
    raw = np.zeros((1, 6, 10), np.float32)
    raw[0, :4, :3] = np.array([[16, 16, 8, 8]], np.float32).T
    raw[0, 4:, 0], raw[0, 4:, 1], raw[0, 4:, 2] = (0.9, 0), (0, 0.8), (0.7, 0)
    made = by_graph(raw, LIMITS)
    assert made["num"].tolist() == [[2]]
    np.testing.assert_allclose(made["scores"][0, :3], [0.9, 0.8, 0])
    assert made["classes"][0, :3].tolist() == [0, 1, -1]
    assert made["boxes"][0, 0].tolist() == [12, 12, 20, 20]


def test_nothing_seen_is_all_empty_rows() -> None:
    made = by_graph(np.zeros((2, 7, 30), np.float32), LIMITS)
    assert made["num"].tolist() == [[0], [0]]
    assert not made["boxes"].any()
    assert not made["scores"].any()
    assert set(made["classes"].flat) == {-1}


@pytest.mark.parametrize("anchors", [1, 3, 40, 1500])
def test_a_free_number_of_anchors_is_answered_as_a_fixed_one(anchors: int) -> None:
    raw = heads(3, 2, 4, anchors, ties=True)
    free = by_graph(raw, LIMITS, anchors=-1)
    for name, value in by_graph(raw, LIMITS).items():
        np.testing.assert_array_equal(free[name], value)


def test_fewer_anchors_than_rows_are_filled_up() -> None:
    raw = heads(0, 1, 1, 6, ties=False)
    made = by_graph(raw, Thresholds(score=0, iou=1, max_detections=100))
    assert made["boxes"].shape == (1, 100, 4)
    assert int(made["num"][0, 0]) == 6
