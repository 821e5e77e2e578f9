"""mAP under weights is COCO's mAP of pictures that are there so many times."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_pictures import answered, finds, objects, scene, validation
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kit.accuracy import bootstrap, judge, score, scoring
from kit.accuracy.types import Objects


def coco_map(pictures: list[tuple[Objects, dict[str, Any]]], classes: int) -> tuple[float, float, list[float]]:
    """Return mAP50-95, mAP50 and the former of each class by pycocotools alone, as its own summary has them."""
    images, truth, found = [], [], []
    for image, (marked, given_) in enumerate(pictures, 1):
        images.append({"id": image, "width": 64, "height": 64})
        for box, kind, crowd in zip(marked.boxes.tolist(), marked.classes, marked.crowd, strict=True):
            bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            truth.append(
                {"id": len(truth) + 1, "image_id": image, "category_id": int(kind), "bbox": bbox,
                 "area": bbox[2] * bbox[3], "iscrowd": int(crowd)}
            )  # fmt: skip
        for box, value, kind in zip(given_["boxes"].tolist(), given_["scores"], given_["classes"], strict=True):
            bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            found.append({"image_id": image, "category_id": int(kind), "bbox": bbox, "score": float(value)})
    with redirect_stdout(io.StringIO()):
        annotated = COCO()
        annotated.dataset = {
            "info": {}, "images": images, "annotations": truth, "categories": [{"id": c} for c in range(classes)],
        }  # fmt: skip
        annotated.createIndex()
        evaluation = COCOeval(annotated, annotated.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_class = [float(p[p > -1].mean()) if (p > -1).any() else float("nan") for p in np.moveaxis(precision, 2, 0)]
    return float(evaluation.stats[0]), float(evaluation.stats[1]), by_class


def pictures_of(seed: int, count: int) -> list[tuple[Objects, dict[str, Any]]]:
    generator = np.random.default_rng(seed)
    return [scene(generator) for _ in range(count)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), weights=st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_a_weight_is_so_many_copies(seed: int, weights: list[int]) -> None:
    pictures = pictures_of(seed, len(weights))
    copies = [picture for picture, weight in zip(pictures, weights, strict=True) for _ in range(weight)]
    solid = sum(int((~marked.crowd).sum()) for marked, _ in copies)
    if not solid or not any(len(given_["scores"]) for _, given_ in copies):
        return
    checked = validation([marked for marked, _ in pictures], len(pictures))
    tally = scoring.tally(answered([given_ for _, given_ in pictures]), checked, None)
    made = tally.at(np.array([[1] * len(weights), weights], np.int64))
    whole, half, by_class = coco_map(copies, 3)
    np.testing.assert_allclose(made.numbers[1], [whole, half], atol=1e-12)
    np.testing.assert_allclose(made.classes[1], by_class, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_pictures_is_nothing(seed: int) -> None:
    """As long as no two scores are equal: COCO takes the first picture's first."""
    pictures = pictures_of(seed, 6)
    order = np.random.default_rng(seed).permutation(len(pictures))
    values = []
    for some in (pictures, [pictures[index] for index in order]):
        checked = validation([marked for marked, _ in some], len(some))
        values.append(score(answered([given_ for _, given_ in some]), checked).value)
    assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_finds_at_the_objects_are_all() -> None:
    boxes, kinds = [[1, 1, 20, 20], [30, 30, 50, 60]], [0, 2]
    found = score(answered([finds(boxes, [0.9, 0.5], kinds)]), validation([objects(boxes, kinds)], 1))
    assert (found.metric, found.value, found.others) == ("mAP50-95", 1.0, {"mAP50": 1.0})
    assert [one.value for one in found.classes] == [1.0, None, 1.0]
    assert found.confidences is not None
    assert (found.confidences.found, found.confidences.right) == (1.0, 1.0)


def test_pictures_without_objects_and_finds_count_nothing() -> None:
    nothing = finds([], [], [])
    found = score(answered([nothing, nothing]), validation([objects([], []), objects([], [])], 2))
    assert found.value == 0.0
    assert found.confidences is None


def test_finds_in_a_crowd_are_neither_right_nor_wrong() -> None:
    marked = objects([[0, 0, 40, 40], [50, 50, 60, 60]], [0, 0], [True, False])
    found = score(answered([finds([[2, 2, 12, 12], [50, 50, 60, 60]], [0.9, 0.8], [0, 0])]), validation([marked], 1))
    assert found.value == 1.0
    assert found.classes[0].instances == 1


@settings(max_examples=30, deadline=None)
@given(point=st.floats(-1, 1), values=st.lists(st.floats(-1, 1), max_size=40))
def test_an_interval_holds_its_point(point: float, values: list[float]) -> None:
    found = bootstrap.interval(point, np.array(values, np.float64))
    assert found.low <= point <= found.high


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_model_loses_nothing_against_itself(seed: int) -> None:
    pictures = pictures_of(seed, 5)
    own = answered([given_ for _, given_ in pictures])
    verdict = judge(own, own, validation([marked for marked, _ in pictures], 5))
    assert (verdict.drop.low, verdict.drop.point, verdict.drop.high) == (0, 0, 0)
    assert verdict.differences == ()
    assert all(one.drop.point == 0 for one in verdict.classes)


@settings(max_examples=20, deadline=None)
@given(pictures=st.integers(1, 40), resamples=st.integers(0, 60), block=st.integers(1, 30))
def test_every_resample_draws_as_many_pictures(pictures: int, resamples: int, block: int) -> None:
    drawn = np.concatenate([np.zeros((0, pictures), np.int64), *bootstrap.draws(pictures, resamples, block)])
    assert drawn.shape == (resamples, pictures)
    assert (drawn.sum(axis=1) == pictures).all()


def test_two_runs_draw_the_same() -> None:
    first, second = (np.concatenate(list(bootstrap.draws(30, 40))) for _ in range(2))
    assert (first == second).all()
    assert first.std() > 0
