"""Qualities to lay out: one with everything in it, and strategies for any."""

from __future__ import annotations

import io
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from PIL import Image

from kit.latency import Percentiles
from kit.quality.values import (
    Box,
    CalibrationQuality,
    ClassQuality,
    Distribution,
    Interval,
    Quality,
    Sample,
    Step,
    TargetQuality,
    Timing,
    TrialQuality,
)


def jpeg(width: int = 64, height: int = 48, color: tuple[int, int, int] = (90, 120, 60)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), color).save(stream, "JPEG")
    return stream.getvalue()


def box(left: float, top: float, right: float, bottom: float, label: str = "cat", score: float = 0.9) -> Box:
    return Box(corners=(left, top, right, bottom), label=label, score=score)


def percentiles(p50: float, p90: float, p99: float, answers: int) -> Percentiles:
    return Percentiles(p50_ms=p50, p90_ms=p90, p99_ms=p99, answers=answers)


def held() -> TrialQuality:
    return TrialQuality(
        precision="int8",
        chosen=True,
        held=True,
        method="static INT8, ranges by Entropy",
        reasons=("the interval of the drop reaches beyond the budget",),
        metric="mAP50-95",
        images=317,
        before=0.7991,
        after=0.7923,
        drop=Interval(value=0.0068, low=0.0017, high=0.0119),
        budget=0.01,
        class_budget=0.05,
        others={"mAP50": (0.9881, 0.9842)},
        classes=(
            ClassQuality(name="zero", instances=145, before=0.8034, after=0.8011),
            ClassQuality(
                name="one",
                instances=12,
                before=0.7682,
                after=0.6954,
                drop=Interval(value=0.0728, low=-0.0233, high=0.1691),
                judged=False,
            ),
            ClassQuality(name="two", instances=139, before=0.8151, after=0.7531),
        ),
        scores=Distribution(before=(3, 0, 5, 41), after=(4, 2, 6, 37), median_before=0.9151, median_after=0.9042),
        bytes_before=1_352_000,
        bytes_after=439_000,
        timings=(
            Timing(
                batch=1,
                before=percentiles(3.624, 4.111, 5.262, 207),
                after=percentiles(1.732, 1.871, 2.493, 208),
                ratio=Interval(value=0.478, low=0.455, high=0.502),
            ),
            Timing(
                batch=8,
                before=percentiles(28.14, 31.55, 140.4, 53),
                after=percentiles(13.42, 15.93, 17.64, 54),
                ratio=Interval(value=0.477, low=0.461, high=0.494),
            ),
        ),
        quantized=38,
        reverted=("backbone.stages.2.0",),
        steps=(
            Step(reverted=0, drop=0.0231, ratio=0.441, held=False),
            Step(reverted=3, drop=0.0254, ratio=0.452, held=False, kept=False, whole=False),
            Step(reverted=1, drop=0.0068, ratio=0.478, held=True),
        ),
        kept={"the detector's head": 9},
        samples=(
            Sample(
                name="street.jpg",
                jpeg=jpeg(),
                before=(box(4, 5, 24, 26, score=0.91), box(30, 8, 52, 40, "dog", 0.82)),
                after=(box(5, 5, 25, 26, score=0.87),),
                truth=(box(4, 6, 24, 25),),
            ),
        ),
    )


def refused(**changes: Any) -> TrialQuality:
    facts: dict[str, Any] = {
        "precision": "int8",
        "chosen": False,
        "held": False,
        "reasons": ("mAP50-95 falls 12.8 points, 1.0 are allowed", "its scores shift"),
        "metric": "mAP50-95",
        "images": 317,
        "before": 0.799,
        "after": 0.671,
        "drop": Interval(value=0.128, low=0.122, high=0.133),
        "budget": 0.01,
        "not_timed": "needs a Tesla T4",
    }
    return TrialQuality(**{**facts, **changes})


def trained(*, chosen: bool = False) -> TrialQuality:
    return TrialQuality(precision="fp32", chosen=chosen, held=True, bytes_after=1_352_000)


def untried() -> TrialQuality:
    return TrialQuality(
        precision="fp16", chosen=False, held=False, tried=False, reasons=("int8 holds, and is smaller",)
    )


def example() -> Quality:
    return Quality(
        name="digits",
        kit="0.1.0",
        source="digits.onnx",
        task="detect",
        validation="test: 317 pictures, 1387 objects",
        validation_warnings=("no picture shows the class nine",),
        calibration=CalibrationQuality(
            source="calibration",
            chosen=256,
            available=320,
            covered=0.943,
            brightness_chosen=(0, 9, 47, 8),
            brightness_available=(1, 11, 59, 13),
            warnings=("256 pictures are fewer than 300",),
        ),
        targets=(
            TargetQuality(
                target="x86-cpu",
                runtime="onnxruntime",
                measured_on="ONNX Runtime 1.31.1 on this CPU",
                trials=(held(), untried(), trained()),
            ),
            TargetQuality(
                target="t4",
                runtime="tensorrt",
                measured_on="ONNX Runtime 1.31.1, another CPU",
                trials=(refused(), trained(chosen=True)),
                not_measured="speed: needs a Tesla T4",
            ),
        ),
        tools={"onnx": "1.23.2"},
        machine="2 cores",
    )


_COUNTS = st.integers(0, 10**12)
_BASE: Mapping[object, st.SearchStrategy[Any]] = {
    int: _COUNTS,
    float: st.floats(),
    bool: st.booleans(),
    str: st.text(max_size=12),
    bytes: st.sampled_from([jpeg(), jpeg(7, 90), b"", b"no picture"]),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a type of ``kit.quality.values``: any number, any text, few of each."""
    if kind in _BASE:
        return _BASE[kind]
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{f.name: any_of(hints[f.name]) for f in fields(kind)})  # type: ignore[arg-type]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(st.none() if part is type(None) else any_of(part) for part in inner)
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(any_of(inner[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(any_of, inner))
    assert origin is Mapping, kind
    return st.dictionaries(any_of(inner[0]), any_of(inner[1]), max_size=2)
