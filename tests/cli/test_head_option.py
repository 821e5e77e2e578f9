"""``kit generate --head``: what is mistyped or undecided is answered in one line, what is said is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import networks
import pytest


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--head", "yolo8"), 24, ('unknown head "yolo8"; did you mean "yolov8"?',)),
        (("--head", ""), 24, ('unknown head ""; choose from detections, detr',)),
        (("--head", "detr,sofmax"), 24, ('did you mean "softmax"?',)),
        (("--head", "yolox"), 15, ("--head yolox has one float output [N, cells, 5 + classes]", "leave --head out")),
        (("--task", "classify", "--head", "detr"), 2, ("task classify has no heads",)),
        (("--task", "pose"), 15, ("give --head where you know its layout", "--task raw serves it as it is")),
        ((), 18, ("--head detr,sigmoid,no-background or --head detr,softmax,background-last", "--contract native")),
    ],
)
def test_a_mistake(
    refused: Callable[..., None], tmp_path: Path, arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    model = models.save(networks.detr(), tmp_path / "queries.onnx")
    refused([str(model), *arguments], code, *words)


def test_the_mistyped_head_is_told_before_any_work(kit_command: Any) -> None:
    models.save(networks.detr(), Path("queries.onnx"))
    answer = kit_command("generate", "queries.onnx", "--head", "dert", "--no-verify")
    answer.refuses(24, 'did you mean "detr"?')


def test_the_manifest_has_what_was_said(kit_command: Any) -> None:
    models.save(networks.detr(), Path("queries.onnx"))
    answer = kit_command("generate", "queries.onnx", "--head", "detr,softmax", "--no-verify", "--json")
    assert (answer.code, answer.err) == (0, "")
    meaning = json.loads(answer.out)["manifest"]["interpretation"]
    assert (meaning["head"], meaning["certainty"], meaning["class_count"]) == ("detr", "certain", 5)
    assert meaning["layout"]["words"] == ["fractions", "centres", "softmax", "background-last"]
    other = kit_command("generate", "queries.onnx", "--head", "detr,sigmoid", "--no-verify", "--json")
    assert json.loads(other.out)["manifest"]["interpretation"]["class_count"] == 6


def test_outputs_that_nobody_knows_are_served_with_a_hint(kit_command: Any) -> None:
    models.save(networks.hidden_states(), Path("hidden.onnx"))
    answer = kit_command("generate", "hidden.onnx", "--no-verify")
    assert answer.code == 0
    assert "raw: " in answer.err
    assert "say what they are with --task, or a detector's layout with --head" in answer.err
