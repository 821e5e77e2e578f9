"""Where models are judged: which part of the validation set is shown first."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import pytest

from kit.accuracy import Validation
from kit.bench import Bench
from kit.pictures import Pictures
from kit.types import Picture, Spec


def validation(count: int) -> Validation:
    return Validation(
        layout="pictures", pictures=tuple(Picture(path=Path(f"{i}.jpg"), digest=str(i)) for i in range(count)),
        sizes=((8, 8),) * count, truth=None, names=(), class_count=None, notes=(), digest="all",
    )  # fmt: skip


def bench(count: int, **changed: Any) -> Bench:
    others = cast("Any", None)  # nothing is built or run here
    return Bench(
        spec=Spec(**{"source": "m.onnx", "name": "m", "targets": ("x86-cpu",), **changed}), graphs=others,
        pictures=Pictures(validation=validation(count)), target=others, runtime=others, stages=others,
    )  # fmt: skip


@pytest.mark.parametrize("count", [200, 300, 5000])
def test_a_hundred_pictures_from_all_over_are_shown_first(count: int) -> None:
    part = bench(count).part
    assert part is not None
    places = [int(picture.digest) for picture in part.pictures]
    assert len(places) == 100
    assert places[0] == 0
    assert {after - before for before, after in itertools.pairwise(places)} == {count // 100}
    assert part.digest != "all"


@pytest.mark.parametrize(("count", "metric"), [(199, None), (32, None), (300, "mine.py:metric")])
def test_few_pictures_are_shown_at_once_and_all_to_the_users_own_metric(count: int, metric: str | None) -> None:
    assert bench(count, metric=metric).part is None
