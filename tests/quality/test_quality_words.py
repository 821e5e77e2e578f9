"""Numbers as people read them, and what a target ends with in a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import qualities
from hypothesis import given
from hypothesis import strategies as st

from kit.quality import words
from kit.quality.values import Interval, TargetQuality, TrialQuality


def said(*trials: TrialQuality) -> str:
    target = TargetQuality(target="x86-cpu", runtime="onnxruntime", measured_on="this CPU", trials=trials)
    return words.ascii_signs(words.conclusion(target))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "not known"),
        (512, "512 bytes"),
        (64_200, "64.2 kB"),
        (439_019, "439 kB"),
        (1_352_000, "1.35 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(("ms", "text"), [(0.0412, "0.04"), (3.624, "3.62"), (11.04, "11.0"), (231.4, "231")])
def test_times(ms: float, text: str) -> None:
    assert words.milliseconds(ms) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.478, "2.1x as fast"), (0.93, "1.08x as fast"), (1.129, "0.89x as fast"), (0.07, "14x as fast")],
)
def test_speeds(ratio: float, text: str) -> None:
    assert words.ascii_signs(words.speed(ratio)) == text


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_no_speed_is_made_of_no_ratio(ratio: float) -> None:
    assert words.speed(ratio) == "not known"
    assert words.speeds(Interval(value=ratio, low=ratio, high=1)) == "not known"


def test_the_faster_end_of_a_speed_is_the_lower_ratio() -> None:
    assert words.speeds(Interval(value=0.5, low=0.4, high=0.625)) == "1.60 to 2.5"


@given(st.floats(-1, 1))
def test_a_change_is_a_drop_turned(drop: float) -> None:
    """What was lost has a minus, what was gained a plus, and nothing has neither."""
    turned = words.change(Interval(value=drop, low=drop - 0.01, high=drop + 0.02))
    assert turned.low <= turned.value <= turned.high
    text = words.ascii_signs(words.points(turned.value))
    assert float(text) == pytest.approx(-100 * drop, abs=0.0500001)
    assert text[0] == ("0" if float(text) == 0 else "-" if drop > 0 else "+")


@pytest.mark.parametrize(
    ("budget", "text"), [(0.01, "-1.0"), (0.0, "0.0"), (0.0025, "-0.25"), (0.0001, "-0.01"), (0.05, "-5.0")]
)
def test_budgets_are_exact(budget: float, text: str) -> None:
    assert words.ascii_signs(words.allowed(budget)) == text


def test_a_change_that_nearly_is_none_has_a_digit_more() -> None:
    assert [words.ascii_signs(words.points(x)) for x in (0.0003, -0.0004, 0.00001)] == ["+0.03", "-0.04", "0.0"]


def test_what_is_served_comes_with_its_price() -> None:
    assert said(qualities.held(), qualities.untried(), qualities.trained()) == (
        "Served in INT8: 2.1x as fast at batch 1, 32 % of the size, "
        "mAP50-95 -0.7 points (95 %: -1.2 to -0.2; -1.0 allowed)."
    )


def test_what_was_refused_comes_with_its_first_reason() -> None:
    assert said(qualities.refused(), qualities.trained(chosen=True)) == (
        "Served in FP32, as it was trained. INT8 was refused: mAP50-95 falls 12.8 points, 1.0 are allowed."
    )


def test_nothing_served_is_said() -> None:
    assert said(qualities.refused(reasons=())).startswith("Nothing is served: no precision held its budget. INT8 was")
    assert said() == "Nothing is served: no precision held its budget."


def test_agreement_is_not_accuracy() -> None:
    text = said(replace(qualities.held(), agreement=True, metric="agreement mAP50"))
    assert " mAP50 (agreement with FP32, not accuracy) -0.7 points" in text


def test_a_long_reason_is_cut_where_all_of_it_stands_nearby() -> None:
    text = said(qualities.refused(reasons=("word " * 100,)))
    assert len(text) < 250
    assert text.endswith("word …")


@pytest.mark.parametrize("name", ["mAP50-95", "box mAP50", "agreement mAP50-95", "top-1", "retrieval top-1", "mIoU"])
def test_the_kits_metrics_have_meanings(name: str) -> None:
    assert "of your own" not in words.meaning(name)
    assert "of your own" in words.meaning("sharpness")
    assert ("FP32" in words.meaning(name)) == name.startswith("agreement")
