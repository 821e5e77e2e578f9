"""What follows from the values of a report."""

from __future__ import annotations

import pytest
import qualities
from hypothesis import HealthCheck, given, settings

from kit.quality import writing
from kit.quality.values import ClassQuality, Interval, Quality, Verdict


def test_verdicts() -> None:
    found = [t.verdict for t in (qualities.held(), qualities.refused(), qualities.untried(), qualities.trained())]
    assert found == [Verdict.HELD, Verdict.REFUSED, Verdict.UNTRIED, Verdict.TRAINED]


def test_what_a_class_lost_is_what_was_measured_of_it() -> None:
    one = ClassQuality(name="cat", instances=3, before=0.5, after=0.4)
    assert one.lost == pytest.approx(0.1)
    paired = ClassQuality(name="cat", instances=3, before=0.5, after=0.4, drop=Interval(value=0.2, low=0.1, high=0.3))
    assert paired.lost == 0.2


def test_without_pictures_all_else_stays() -> None:
    bare = qualities.example().without_pictures()
    samples = [s for t in bare.targets for trial in t.trials for s in trial.samples]
    assert samples
    assert not any(sample.jpeg for sample in samples)
    assert writing.as_json(bare) == writing.as_json(qualities.example())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(qualities.any_of(Quality))
def test_pictures_are_taken_out_once(quality: Quality) -> None:
    assert writing.as_json(quality.without_pictures()) == writing.as_json(quality)
