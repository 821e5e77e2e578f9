"""Whether an engine's answers are ONNX Runtime's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.engines import agreement
from kit.engines.agreement import LEAST, Least

FP32 = LEAST["fp32"]
ROWS = 10


def detections(seed: int, count: int = 4, frames: int = 2) -> dict[str, np.ndarray[Any, Any]]:
    """Rows of ``count`` objects that do not overlap, as the served contract has them."""
    chance = np.random.default_rng(seed)
    boxes = np.zeros((frames, ROWS, 4), np.float32)
    scores = np.zeros((frames, ROWS), np.float32)
    classes = np.full((frames, ROWS), -1, np.int32)
    for frame in range(frames):
        for row in range(count):
            low = np.array([row * 50, chance.uniform(0, 20)])
            boxes[frame, row] = [*low, *(low + chance.uniform(20, 40, 2))]
        scores[frame, :count] = np.sort(chance.uniform(0.3, 0.9, count))[::-1]
        classes[frame, :count] = chance.integers(0, 3, count)
    return {"num": np.full((frames, 1), count, np.int32), "boxes": boxes, "scores": scores, "classes": classes}


def shuffled(rows: dict[str, np.ndarray[Any, Any]], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """The same detections in another order."""
    made = {name: value.copy() for name, value in rows.items()}
    for frame, (count,) in enumerate(rows["num"]):
        order = np.random.default_rng(seed).permutation(count)
        for name in ("boxes", "scores", "classes"):
            made[name][frame, :count] = rows[name][frame, order]
    return made


@given(seed=st.integers(0, 999), count=st.integers(0, ROWS))
def test_the_order_of_detections_is_nothing(seed: int, count: int) -> None:
    rows = detections(seed, count)
    (seen,) = agreement.compare(rows, shuffled(rows, seed), 2, FP32)
    assert (seen.share, seen.count, seen.differing, seen.nan) == (1.0, 2 * count, 0, 0)


@given(seed=st.integers(0, 999))
def test_it_is_the_same_both_ways(seed: int) -> None:
    one, other = detections(seed), detections(seed + 1, 3)
    (forth,), (back,) = agreement.compare(one, other, 2, FP32), agreement.compare(other, one, 2, FP32)
    assert forth == back


def change(rows: dict[str, np.ndarray[Any, Any]], name: str, by: float) -> dict[str, np.ndarray[Any, Any]]:
    return {**rows, name: (rows[name] + by).astype(rows[name].dtype)}


@pytest.mark.parametrize(
    ("name", "by", "same"),
    [("boxes", 0.4, True), ("boxes", 15.0, False), ("scores", 0.01, True), ("scores", 0.1, False),
     ("classes", 1, False), ("num", -1, False)],
)  # fmt: skip
def test_what_is_another_detection(name: str, by: float, same: bool) -> None:
    rows = detections(3)
    seen = agreement.compare(rows, change(rows, name, by), 2, FP32)
    assert (not list(agreement.problems(seen, FP32))) == same


def test_a_box_that_is_found_twice_counts_once() -> None:
    rows = detections(3, 2)
    twice = {**rows, "num": rows["num"] + 1}
    twice["boxes"], twice["scores"], twice["classes"] = (rows[n].copy() for n in ("boxes", "scores", "classes"))
    for name in ("boxes", "scores", "classes"):
        twice[name][:, 2] = rows[name][:, 0]
    (seen,) = agreement.compare(rows, twice, 2, FP32)
    assert (seen.count, seen.differing) == (6, 2)


def test_one_detection_at_the_threshold_may_come_or_go() -> None:
    rows = detections(3, frames=1)
    fewer = {**rows, "num": rows["num"] - 1}
    assert not list(agreement.problems(agreement.compare(rows, fewer, 1, FP32), FP32))
    none = {**rows, "num": rows["num"] * 0}
    (problem,) = agreement.problems(agreement.compare(rows, none, 1, FP32), FP32)
    assert problem == "detections: 0.0% agree at batch 1, 98% are asked for"


class TestNumbers:
    @pytest.mark.parametrize(("noise", "level"), [(1e-4, "fp32"), (1e-2, "fp16"), (0.1, "int8")])
    def test_noise_of_its_precision_is_let_pass(self, noise: float, level: str) -> None:
        value = np.random.default_rng(0).normal(size=(4, 100)).astype(np.float32)
        other = value + np.random.default_rng(1).normal(scale=noise, size=value.shape).astype(np.float32)
        seen = agreement.compare({"scores": value}, {"scores": other}, 4, LEAST[level])
        assert not list(agreement.problems(seen, LEAST[level]))

    @pytest.mark.parametrize("other", [lambda v: -v, lambda v: v * 0, lambda v: v[:, :50], lambda v: v[::-1]])
    def test_others_are_not(self, other: Any) -> None:
        value = np.random.default_rng(0).normal(size=(4, 100)).astype(np.float32)
        seen = agreement.compare({"scores": value}, {"scores": other(value)}, 4, LEAST["int8"])
        assert list(agreement.problems(seen, LEAST["int8"]))

    def test_nothing_agrees_with_nothing(self) -> None:
        zero = {"scores": np.zeros((2, 3), np.float32)}
        assert not list(agreement.problems(agreement.compare(zero, zero, 2, FP32), FP32))

    def test_what_is_no_number_is_told(self) -> None:
        value = {"scores": np.ones((1, 4), np.float32)}
        bad = {"scores": np.array([[1, np.nan, np.inf, 1]], np.float32)}
        (problem,) = agreement.problems(agreement.compare(value, bad, 1, FP32), FP32)
        assert problem == "scores has 2 values that are no numbers"

    @pytest.mark.parametrize(("wrong", "allowed"), [(1, True), (20, False)])
    def test_whole_numbers_agree_or_do_not(self, wrong: int, allowed: bool) -> None:
        value = np.arange(100, dtype=np.uint8).reshape(1, 10, 10)
        other = value.copy()
        other.reshape(-1)[:wrong] += 1
        seen = agreement.compare({"classes": value}, {"classes": other}, 1, FP32)
        assert (not list(agreement.problems(seen, FP32))) == allowed


@pytest.mark.parametrize(
    ("precisions", "level"), [((), "fp32"), (("fp16",), "fp16"), (("int8",), "int8"), (("fp16", "int8"), "int8")]
)
def test_the_lowest_precision_decides(precisions: tuple[str, ...], level: str) -> None:
    assert agreement.least(frozenset(precisions)) is LEAST[level]


def test_less_is_asked_of_less() -> None:
    values: list[Least] = [LEAST[name] for name in ("fp32", "fp16", "int8")]
    assert [v.cosine for v in values] == sorted((v.cosine for v in values), reverse=True)
    assert [v.share for v in values] == sorted((v.share for v in values), reverse=True)
