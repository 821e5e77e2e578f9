"""What a terminal shows of the quality of lower precisions."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kit.cli._quality import lines
from kit.quality.values import Interval, Quality, TargetQuality, TrialQuality

HELD = TrialQuality(
    precision="int8",
    chosen=True,
    held=True,
    metric="mAP50-95",
    before=0.7991,
    after=0.7923,
    drop=Interval(value=0.0068, low=0.0017, high=0.0119),
    budget=0.01,
    bytes_before=1_352_000,
    bytes_after=439_000,
)
UNTRIED = TrialQuality(precision="fp16", chosen=False, held=False, tried=False, reasons=("int8 holds",))
TRAINED = TrialQuality(precision="fp32", chosen=False, held=True, bytes_after=1_352_000)
REFUSED = replace(HELD, chosen=False, held=False, reasons=("falls too far", "scores shift"), not_timed="needs a T4")


def shown(*trials: TrialQuality, page: Path | None = None, not_measured: str = "") -> list[str]:
    target = TargetQuality(
        target="x86-cpu", runtime="onnxruntime", measured_on="", trials=trials, not_measured=not_measured
    )
    quality = Quality(name="m", kit="", source="", task="", validation="", targets=(target,))
    return [line.plain for line in lines(quality, page)]


def test_a_line_for_each_precision_in_columns() -> None:
    assert shown(HELD, UNTRIED, TRAINED, page=Path("m.html")) == [
        "  x86-cpu on onnxruntime",
        "  * int8  served, held  mAP50-95 0.799 -> 0.792  -0.7 points (-1.2 to -0.2), -1.0 allowed  439 kB (32 %)",
        "    fp16  not tried: int8 holds",
        "    fp32  as trained" + " " * 71 + "1.35 MB",
        "  quality report:  m.html",
    ]


def test_why_it_was_refused_and_what_was_not_seen() -> None:
    above, refused, *below = shown(REFUSED, not_measured="speed")[1:]
    assert above == "        not measured here: speed"
    assert refused.startswith("    int8  refused  mAP50-95 0.799")
    assert below == ["        falls too far", "        scores shift", "        not timed here: needs a T4"]
    assert [line for line in shown(REFUSED, not_measured="needs a T4") if "T4" in line] == [
        "        not measured here: needs a T4"
    ]


def test_agreement_is_said_to_be_no_accuracy() -> None:
    assert shown(replace(HELD, agreement=True))[-1] == "  without labels: agreement with the FP32 model, not accuracy"
    assert not any("agreement" in line for line in shown(HELD))


def test_it_can_be_written_where_only_ascii_can() -> None:
    assert all(line.isascii() for line in shown(HELD, REFUSED, UNTRIED, TRAINED))


def test_names_cannot_act_on_the_terminal() -> None:
    text = "\n".join(shown(replace(REFUSED, reasons=("\x1b[2Jgone",), metric="m\x1b[31m")))
    assert "\x1b" not in text
    assert r"\x1b[2Jgone" in text


@pytest.mark.parametrize("trials", [(), (TRAINED,)])
def test_little_is_shown_of_little(trials: tuple[TrialQuality, ...]) -> None:
    assert len(shown(*trials)) == 1 + len(trials)


def test_it_imports_nothing_heavy() -> None:
    import subprocess

    code = "import sys, kit.cli._quality; print({'numpy', 'jinja2', 'PIL', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.strip() == "set()"
