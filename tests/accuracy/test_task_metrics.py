"""Each task's metric on answers of which the right figure is known by counting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from marked_pictures import answered, finds, meaning, objects, validation
from PIL import Image

from kit.accuracy import judge, metrics, score
from kit.accuracy.metrics.interface import Metric
from kit.accuracy.types import Outline


def kept(task: str, **outputs: Any) -> dict[str, Any]:
    return metrics.get(task).keep({name: np.asarray(value)[None] for name, value in outputs.items()}, 0)


class TestClassify:
    def test_top_1_and_top_5(self) -> None:
        generator = np.random.default_rng(0)
        rows = generator.random((60, 8)).astype(np.float32)
        truth = generator.integers(0, 8, 60).tolist()
        order = np.argsort(-rows, axis=1)
        found = score(answered([kept("classify", probabilities=r) for r in rows], "classify"), validation(truth, 60, 8))
        assert found.metric == "top-1"
        assert found.value == pytest.approx(np.mean(order[:, 0] == truth))
        assert found.others["top-5"] == pytest.approx(np.mean([t in o[:5] for t, o in zip(truth, order, strict=True)]))
        for one in found.classes:
            mine = [o[0] == t for o, t in zip(order, truth, strict=True) if t == one.index]
            assert one.instances == len(mine)
            assert one.value == pytest.approx(np.mean(mine))

    def test_softer_probabilities_are_a_shift(self) -> None:
        """The same order, so the same top-1: a threshold on the probability would not survive it."""
        generator = np.random.default_rng(1)
        rows = generator.dirichlet([0.05] * 4, 80)
        soft = rows**0.3 / (rows**0.3).sum(axis=1, keepdims=True)
        truth = np.argmax(rows, axis=1).tolist()
        sets = [answered([kept("classify", probabilities=r) for r in some], "classify") for some in (rows, soft)]
        verdict = judge(*sets, validation(truth, 80, 4))
        assert verdict.drop.point == 0
        assert not verdict.held
        assert "scores of what is found moved by -0." in verdict.reasons[0]

    def test_without_labels_the_first_models_classes_are_right(self) -> None:
        rows = np.eye(4, dtype=np.float32)[np.arange(40) % 4] * 0.7 + 0.1
        other = rows.copy()
        other[:4] = np.roll(other[:4], 1, axis=1)
        sets = [answered([kept("classify", probabilities=r) for r in some], "classify") for some in (rows, other)]
        verdict = judge(*sets, validation(None, 40, 4))
        assert (verdict.before.metric, verdict.before.value) == ("agreement top-1", 1.0)
        assert verdict.after.value == pytest.approx(0.9)
        assert not verdict.held
        assert verdict.differences[0].before[0].name == "a"


class TestSegment:
    def test_the_mean_of_ious(self, tmp_path: Path) -> None:
        truth, given_ = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
        truth[:, 4:], truth[:2, :2], truth[7, 7] = 1, 2, 255
        given_[:, 3:] = 1
        Image.fromarray(truth).save(tmp_path / "m.png")
        answers = answered([kept("segment", classes=given_)], "segment")
        checked = validation([tmp_path / "m.png"], 1, 3, (8, 8))
        answers = replace(answers, head=replace(answers.head, frame=(8, 8)))
        found = score(answers, checked)
        ious = [20 / 32, 31 / 39, 0.0]
        assert found.metric == "mIoU"
        assert [one.value for one in found.classes] == pytest.approx([20 / 32, 31 / 39, 0.0])
        assert found.value == pytest.approx(np.mean(ious))
        assert found.others["pixels right"] == pytest.approx(51 / 63)

    def test_scores_are_chosen_from_and_their_confidence_is_kept(self) -> None:
        scores = np.random.default_rng(0).dirichlet([1, 1, 1], (6, 5)).transpose(2, 0, 1).astype(np.float32)
        one = kept("segment", scores=scores)
        task = metrics.get("segment")
        assert (task.predictions(one)["classes"] == scores.argmax(axis=0)).all()
        assert one["confidence"][0] == pytest.approx(scores.max(axis=0).mean())
        lit = kept("segment", scores=scores[:1])
        assert (task.predictions(lit)["classes"] == (scores[0] > 0.5)).all()

    def test_pixels_that_flip_are_agreement_lost(self) -> None:
        before = np.random.default_rng(0).integers(0, 3, (20, 16, 16)).astype(np.uint8)
        after = before.copy()
        after[:, :2] = (after[:, :2] + 1) % 3
        sets = [answered([kept("segment", classes=m) for m in some], "segment") for some in (before, after)]
        verdict = judge(*sets, validation(None, 20))
        assert verdict.before.value == 1.0
        assert verdict.after.others["pixels right"] == pytest.approx(14 / 16)
        assert not verdict.held
        assert verdict.differences[0].difference == pytest.approx(1 / 8)


class TestEmbed:
    def points(self, noise: float) -> list[dict[str, Any]]:
        rows = np.random.default_rng(0).normal(size=(40, 16))
        rows = rows + noise * np.random.default_rng(1).normal(size=rows.shape)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return [kept("embed", embedding=row.astype(np.float32)) for row in rows]

    def test_neighbours_stay(self) -> None:
        exact, near, far = (answered(self.points(noise), "embed") for noise in (0, 0.01, 1.0))
        checked = validation(None, 40)
        verdict = judge(exact, near, checked)
        assert verdict.held
        assert verdict.after.metric == "agreement neighbours"
        assert verdict.after.others["cosine"] > 0.999
        verdict = judge(exact, far, checked)
        assert not verdict.held
        assert verdict.after.value < 0.8

    def test_folders_of_people_are_retrieved(self) -> None:
        rows = np.repeat(np.eye(4), 3, axis=0) + np.random.default_rng(0).normal(0, 0.01, (12, 4))
        people = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 0]
        found = score(answered([kept("embed", embedding=row) for row in rows], "embed"), validation(people, 12, 4))
        right = 0
        for one, row in enumerate(rows / np.linalg.norm(rows, axis=1, keepdims=True)):
            others = [other for other in range(12) if other != one]
            nearest = max(others, key=lambda other: row @ rows[other] / np.linalg.norm(rows[other]))
            right += people[nearest] == people[one]
        assert found.metric == "retrieval top-1"
        assert found.value == pytest.approx(right / 12)
        assert right in (10, 11)
        assert not found.agreement


class TestRaw:
    def test_the_least_cosine_of_any_output(self) -> None:
        one = kept("raw", a=np.array([1.0, 0.0]), b=np.array([[3.0, 4.0]]), words=np.array(["x"], object))
        other = kept("raw", a=np.array([1.0, 1.0]), b=np.array([[3.0, 4.0]]), words=np.array(["y"], object))
        first, second = answered([one] * 12, "raw"), answered([other] * 12, "raw")
        verdict = judge(first, second, validation(None, 12))
        assert verdict.after.metric == "agreement cosine"
        assert verdict.after.value == pytest.approx(2**-0.5)
        assert not verdict.held
        assert judge(first, first, validation(None, 12)).held

    def test_large_outputs_are_thinned(self) -> None:
        one = kept("raw", a=np.arange(100_000.0))
        assert len(one["a"]) == 4096
        assert (one["a"][0], one["a"][-1]) == (0, 99_999)


BOXES = [[4, 4, 24, 24], [32, 32, 60, 48]]


def with_masks(boxes: Any, scores: Any, classes: Any, masks: Any) -> dict[str, Any]:
    outputs = {**finds(boxes, scores, classes), "masks": np.asarray(masks, np.uint8), "num": np.array([len(boxes)])}
    return metrics.get("instances").keep({name: value[None] for name, value in outputs.items()}, 0)


def rectangles(boxes: Any, stride: int = 4, size: int = 16) -> Any:
    masks = np.zeros((len(boxes), size, size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, np.asarray(boxes) // stride, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return masks


class TestInstances:
    def test_masks_count_where_outlines_are_marked(self) -> None:
        polygons = tuple(
            Outline(polygons=((x1, y1, x2, y1, x2, y2, x1, y2),)) for x1, y1, x2, y2 in BOXES
        )  # fmt: skip
        marked = validation([objects(BOXES, [0, 1], outlines=polygons)], 1)
        right = with_masks(BOXES, [0.9, 0.8], [0, 1], rectangles(BOXES))
        found = score(answered([right], "instances"), marked)
        assert found.metric == "mask mAP50-95"
        assert found.others["box mAP50-95"] == 1.0
        assert found.value == 1.0
        half = rectangles(BOXES)
        half[:, :, 5:8] = 0
        worse = score(answered([with_masks(BOXES, [0.9, 0.8], [0, 1], half)], "instances"), marked)
        assert worse.others["box mAP50-95"] == 1.0
        assert worse.value < found.value

    def test_boxes_count_where_none_are(self) -> None:
        found = score(
            answered([with_masks(BOXES, [0.9, 0.8], [0, 1], rectangles(BOXES))], "instances"),
            validation([objects(BOXES, [0, 1])], 1),
        )
        assert (found.metric, found.value) == ("mAP50-95", 1.0)

    def test_it_agrees_with_itself(self) -> None:
        own = answered([with_masks(BOXES, [0.9, 0.3], [0, 1], rectangles(BOXES))] * 3, "instances")
        verdict = judge(own, own, validation(None, 3))
        assert verdict.held
        assert verdict.before.value == verdict.before.others["box mAP50-95"] == 1.0

    def test_masks_come_back(self) -> None:
        masks = np.random.default_rng(0).integers(0, 2, (2, 16, 16)).astype(np.uint8)
        one = with_masks(BOXES, [0.9, 0.8], [0, 1], masks)
        assert (metrics.get("instances").predictions(one)["masks"] == masks).all()
        none = with_masks([], [], [], np.zeros((0, 16, 16)))
        assert metrics.get("instances").predictions(none)["masks"].shape == (0, 16, 16)


def with_points(boxes: Any, scores: Any, points: Any) -> dict[str, Any]:
    outputs = {
        **finds(boxes, scores, [0] * len(boxes)),
        "keypoints": np.asarray(points, np.float32),
        "num": np.array([len(boxes)]),
    }
    return metrics.get("pose").keep({name: value[None] for name, value in outputs.items()}, 0)


class TestPose:
    @pytest.mark.parametrize("count", [17, 5])
    def test_similarity_of_keypoints(self, count: int) -> None:
        generator = np.random.default_rng(0)
        points = np.concatenate([generator.uniform(5, 60, (2, count, 2)), np.full((2, count, 1), 2.0)], axis=2)
        marked = validation([objects(BOXES, [0, 0], keypoints=points)], 1)
        found = score(answered([with_points(BOXES, [0.9, 0.8], points)], "pose"), marked)
        assert found.metric == "pose mAP50-95"
        assert found.value == found.others["box mAP50-95"] == 1.0
        moved = points + np.array([3.0, 3.0, 0])
        worse = score(answered([with_points(BOXES, [0.9, 0.8], moved)], "pose"), marked)
        assert worse.others["box mAP50-95"] == 1.0
        assert worse.value < 1.0

    def test_it_agrees_with_itself(self) -> None:
        points = np.random.default_rng(0).uniform(0, 1, (2, 5, 3)) * [64, 64, 1]
        points[:, 0, 2] = 1
        own = answered([with_points(BOXES, [0.9, 0.3], points)] * 3, "pose")
        assert judge(own, own, validation(None, 3)).before.value == 1.0

    def test_boxes_count_where_no_keypoints_are_marked(self) -> None:
        one = with_points(BOXES, [0.9, 0.8], np.zeros((2, 5, 3)))
        assert score(answered([one], "pose"), validation([objects(BOXES, [0, 0])], 1)).metric == "mAP50-95"


def a_find(number: float) -> dict[str, Any]:
    return finds([[number, 1, number + 9, 12]], [0.5 + number / 100], [int(number) % 3])


@settings(max_examples=30, deadline=None)
@given(
    first=arrays.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)),
    second=arrays.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)),
)
@pytest.mark.parametrize("task", ["classify", "embed", "raw"])
def test_apart_is_a_distance(task: str, first: Any, second: Any) -> None:
    metric: Metric = metrics.get(task)
    outputs = {"classify": "probabilities", "embed": "embedding", "raw": "anything"}[task]
    one, other = (metric.keep({outputs: value}, 0) for value in (first, second))
    assert metric.apart(one, one, 0.25) == 0
    assert 0 <= metric.apart(one, other, 0.25) <= 1


@settings(max_examples=30, deadline=None)
@given(first=st.floats(0, 30), second=st.floats(0, 30))
def test_finds_are_as_far_apart_one_way_as_the_other(first: float, second: float) -> None:
    metric = metrics.get("detect")
    one, other = a_find(first), a_find(second)
    assert metric.apart(one, one, 0.25) == 0
    assert metric.apart(one, other, 0.25) == metric.apart(other, one, 0.25) <= 1


def test_every_task_has_a_metric() -> None:
    from kit import tasks

    assert metrics.names() == tasks.names()
    for name in tasks.names():
        assert metrics.of(meaning(name)).name == name
    assert metrics.of(meaning("detect", contract="native")).name == "raw"
