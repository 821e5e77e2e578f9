"""What a spec says for one of a model's targets, from the file to the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import kit.cli
from kit.specfile import plan
from kit.specfile.plan import Override
from kit.types import Serving

from .conftest import Plan

TEXT = """\
models:
  - source: model.onnx
    targets: [x86-cpu, t4]
    instances: 3
    max_batch_size: 4
    per_target:
      t4: {max_batch_size: 2, queue_delay_us: 500}
      x86-cpu:
        instances: 2
"""


def test_it_holds_on_its_target_alone(planned: Plan) -> None:
    (job,) = planned(TEXT)
    cpu, gpu = job.spec.on("x86-cpu"), job.spec.on("t4")
    assert (cpu.instance_count, cpu.max_batch_size, cpu.max_queue_delay_us) == (2, 4, None)
    assert (gpu.instance_count, gpu.max_batch_size, gpu.max_queue_delay_us) == (3, 2, 500)
    assert job.spec.on("l4") == job.spec


def test_an_option_stands_above_it(planned: Plan) -> None:
    planned(TEXT)
    (job,) = plan.jobs(Path("spec.yaml"), [Override(option="--instances", attribute="instance_count", value=7)])
    assert job.spec.on("x86-cpu").instance_count == job.spec.on("t4").instance_count == 7
    assert job.spec.per_target["t4"] == Serving(max_batch_size=2, max_queue_delay_us=500)
    (job,) = plan.jobs(Path("spec.yaml"), [Override(option="--target", attribute="targets", value=("l4",))])
    assert job.spec.targets == ("l4",)


def test_it_arrives_in_the_configurations(planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kit import config

    planned(TEXT)
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    assert kit.cli.run(["generate", "spec.yaml", "--no-verify", "--quiet"]) == 0
    folder = Path("model_repository/model")
    cpu, gpu = (config.parse((folder / f"configs/{name}.pbtxt").read_text()) for name in ("x86-cpu", "t4"))
    assert (cpu.max_batch_size, cpu.instance_group[0].count) == (4, 2)
    assert (gpu.max_batch_size, gpu.instance_group[0].count) == (2, 3)
    assert gpu.dynamic_batching.max_queue_delay_microseconds == 500
    assert set(json.loads((folder / "manifest.json").read_text())["targets"]) == {"x86-cpu", "t4"}


@pytest.mark.parametrize(
    ("below", "told"),
    [
        ("l4: {instances: 2}", "4:17: l4 is none of this model's targets (t4, x86-cpu, orin-nano-8gb); add it there"),
        ("t5: {instances: 2}", '4:18: no target "t5"; did you mean "t4"?'),
        ("t4: {instance: 2}", '4:23: "instance" is not said for one target; did you mean "instances"?'),
        ("t4: {batch: 2}", '4:23: "batch" is not said for one target; write "max_batch_size"'),
        ("t4: {labels: x}", '4:23: "labels" is not said for one target; choose from'),
        ("t4: 3", "4:22: expected keys, each with a value: precision, runtime, max_batch_size"),
        ("t4: {threads: -1}", '4:32: expected a whole number from 0 to 1024, got "-1"'),
        ("orin-nano-8gb: {threads: 100}", "4:17: orin-nano-8gb has 6 CPU threads, not 100; ask for 6 or fewer"),
    ],
)  # fmt: skip
def test_mistakes_have_their_place(mistakes: Callable[[str], list[str]], below: str, told: str) -> None:
    targets = "targets: [t4, x86-cpu, orin-nano-8gb]"
    (line,) = mistakes(f"models:\n  - source: model.onnx\n    {targets}\n    per_target: {{{below}}}\n")
    assert line.startswith(told)


@pytest.mark.parametrize("text", ["", "~", "{}", "{t4: }", "{t4: {}}", "{t4: {instances: }}"])
def test_nothing_may_be_said(planned: Plan, text: str) -> None:
    (job,) = planned(f"models:\n  - source: model.onnx\n    targets: t4\n    per_target: {text}\n")
    assert job.spec.per_target == {}


def test_it_is_each_models_own(mistakes: Callable[[str], list[str]]) -> None:
    (line,) = mistakes("defaults: {per_target: {t4: {instances: 2}}}\nmodels:\n  - source: model.onnx\n")
    assert line == '1:12: unknown key "per_target"; each model has its own'
