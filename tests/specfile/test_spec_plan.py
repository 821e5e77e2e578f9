"""What a spec file asks for: the same as the options of ``kit generate`` do, with defaults and paths of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import models
import pytest

from kit.cli.generate import command
from kit.errors import InvalidModelNameError, UnknownTargetError, UsageError
from kit.jobs import Job
from kit.planning import Options
from kit.specfile import is_spec, plan
from kit.specfile.fields import MODEL, RUN, flat
from kit.specfile.kinds import Number, Whole
from kit.specfile.plan import Override
from kit.types import Normalization, Serving, Spec, Thresholds

from .conftest import Plan

ALL = """\
output: out
alongside: true
target_folders: my-targets
models:
  - source: model.onnx
    name: other
    targets: [t4, x86-cpu]
    task: detect
    head: [yolov8]
    argmax: true
    contract: native
    precision: fp32
    runtime: onnxruntime
    labels: labels.txt
    thresholds: {score: 0.3, iou: 0.5, max_detections: 7}
    mean: [0.1, 0.2, 0.3]
    std: [1, 2, 3]
    color: bgr
    max_batch_size: 0
    instances: 2
    queue_delay_us: 100
    threads: 3
    per_target: {t4: {instances: 5, precision: fp16}}
    calibration: images
    calibration_count: 100
    validation: images
    max_drop: 2
    max_class_drop: 6.5
    metric: package.module:score
    verify: none
    keep: 2
"""
"""Every key but those that an ONNX file has no use for; each with a value that no default has."""


@pytest.fixture
def everything(here: Path) -> None:
    Path("labels.txt").write_text("a\nb\nc\n")
    Path("images").mkdir()
    Path("my-targets").mkdir()


@pytest.mark.usefixtures("everything")
def test_every_key_arrives(planned: Plan) -> None:
    (job,) = planned(ALL)
    assert job.spec == Spec(
        source="model.onnx", name="other", targets=("t4", "x86-cpu"), task="detect", head="yolov8",
        argmax=True, contract="native", precision="fp32", runtime="onnxruntime", labels="labels.txt",
        normalization=Normalization(mean=(0.1, 0.2, 0.3), std=(1, 2, 3)),
        color="bgr", thresholds=Thresholds(score=0.3, iou=0.5, max_detections=7), max_batch_size=0, instance_count=2,
        max_queue_delay_us=100, intra_op_threads=3, calibration=Path("images"), validation=Path("images"),
        calibration_count=100, max_drop=2, max_class_drop=6.5, metric="package.module:score",
        per_target={"t4": Serving(instance_count=5, precision="fp16")},
    )  # fmt: skip
    assert job.options == Options(
        output=Path("out"), verify="none", keep=2, alongside=True, target_folders=(Path("my-targets"),)
    )


def test_the_test_above_has_every_key() -> None:
    written = {line.strip().removeprefix("- ").partition(":")[0] for line in ALL.splitlines()}
    assert {key.name for key in (*MODEL, *RUN)} - written == {"input_shape", "weights"}


def test_what_is_not_said_is_as_without_a_spec(planned: Plan) -> None:
    (job,) = planned("models:\n  - source: model.onnx\n")
    assert job.spec == Spec(source="model.onnx", name="model", targets=("x86-cpu",))
    assert job.options == Options()


@pytest.mark.parametrize("nothing", ["", "~", "null", "# remark"])
def test_an_empty_value_says_nothing(planned: Plan, nothing: str) -> None:
    (job,) = planned(
        f"output: {nothing}\ndefaults: {nothing}\nmodels:\n  - source: model.onnx\n    keep: {nothing}\n"
        f"    thresholds: {nothing}\n    name: {nothing}\n"
    )
    assert (job.spec.name, job.options) == ("model", Options())


class TestDefaults:
    def test_hold_for_models_that_do_not_say_it(self, planned: Plan) -> None:
        first, second = planned(
            "defaults: {targets: t4, keep: 3, thresholds: {score: 0.1, iou: 0.2}}\n"
            "models:\n  - source: model.onnx\n  - {source: model.onnx, name: b, targets: l4, thresholds: {iou: 0.9}}\n"
        )
        assert (first.spec.targets, second.spec.targets) == (("t4",), ("l4",))
        assert first.spec.thresholds == Thresholds(score=0.1, iou=0.2)
        assert second.spec.thresholds == Thresholds(score=0.1, iou=0.9)
        assert first.options.keep == second.options.keep == 3

    def test_of_a_shape_and_of_weights_are_for_those_that_need_them(self, planned: Plan) -> None:
        first, second = planned(
            "defaults: {input_shape: [3, 8, 8], weights: random}\n"
            "models:\n  - source: model.onnx\n  - source: network.of:mine\n"
        )
        assert (first.options.input_shape, second.options.input_shape) == (None, (3, 8, 8))
        assert (first.spec.weights, second.spec.weights) == (None, "random")
        assert second.spec.source == "network.of:mine"


class TestPaths:
    def test_are_relative_to_the_file(self, here: Path) -> None:
        models.save(models.classifier(), Path("project/nets/a.onnx"))
        Path("project/labels.txt").write_text("a\n")
        Path("project/spec.yaml").write_text("models:\n  - {source: nets/a.onnx, labels: labels.txt}\n")
        (job,) = plan.jobs(Path("project/spec.yaml"))
        assert (job.spec.source, job.spec.labels) == ("project/nets/a.onnx", "project/labels.txt")
        assert job.options.output == Path("project/model_repository")
        assert job.folder == here / "project"

    def test_that_are_absolute_stay(self, here: Path, planned: Plan) -> None:
        (job,) = planned(f"output: {here}/out\nmodels:\n  - source: {here}/model.onnx\n")
        assert (job.spec.source, job.options.output) == (f"{here}/model.onnx", here / "out")

    def test_of_targets_of_the_users_own(self, here: Path, planned: Plan) -> None:
        from kit import targets

        Path("mine").mkdir()
        text = (targets.BUILT_IN / "x86-cpu.toml").read_text(encoding="utf-8")
        Path("mine/my-box.toml").write_text(text, encoding="utf-8")
        (job,) = planned("target_folders: [mine]\nmodels:\n  - {source: model.onnx, targets: my-box}\n")
        assert job.spec.targets == ("my-box",)


class TestWordsOfYaml:
    @pytest.mark.parametrize("name", ["no", "on", "true", "012", "1e3", "2026-11-22", "3.10", "0x1f", "1_000", "NULL_"])
    def test_that_mean_something_else_in_some_version_are_names(self, planned: Plan, name: str) -> None:
        (job,) = planned(f"models:\n  - {{source: model.onnx, name: {name}}}\n")
        assert job.spec.name == name

    @pytest.mark.parametrize(("written", "value"), [("1e3", 1000), ("1000.0", 1000), ("+5", 5), ("0", 0)])
    def test_whole_numbers(self, planned: Plan, written: str, value: int) -> None:
        (job,) = planned(f"models:\n  - {{source: model.onnx, queue_delay_us: {written}}}\n")
        assert job.spec.max_queue_delay_us == value
        assert isinstance(job.spec.max_queue_delay_us, int)

    def test_aliases_share(self, planned: Plan) -> None:
        first, second = planned(
            "models:\n  - {source: model.onnx, thresholds: &t {score: 0.7}}\n"
            "  - {source: model.onnx, name: b, thresholds: *t}\n"
        )
        assert first.spec.thresholds == second.spec.thresholds == Thresholds(score=0.7)

    def test_aliases_of_aliases_take_no_time(self, planned: Plan) -> None:
        """A billion laughs: each level names the one above ten times."""
        levels = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
        with pytest.raises(UsageError, match="11 mistakes"):
            planned("\n".join([*levels, "models: *a9"]))


class TestOptionsAboveASpec:
    TWO = "models:\n  - {source: model.onnx, targets: t4}\n  - {source: model.onnx, name: b}\n"

    def jobs(self, text: str, *overrides: Override) -> tuple[Job, ...]:
        Path("spec.yaml").write_text(text)
        return plan.jobs(Path("spec.yaml"), overrides)

    def test_how_to_work_is_for_all(self, here: Path) -> None:
        jobs = self.jobs(
            self.TWO,
            Override(option="--target", attribute="targets", value=("l4",)),
            Override(option="--output", attribute="output", value=Path("elsewhere")),
            Override(option="--no-verify", attribute="verify", value="none"),
            Override(option="--no-cache", attribute="use_cache", value=False),
        )
        assert {job.spec.targets for job in jobs} == {("l4",)}
        assert {job.options for job in jobs} == {Options(output=Path("elsewhere"), verify="none", use_cache=False)}

    @pytest.mark.parametrize(
        ("option", "attribute", "told"),
        [
            ("--name", "name", 'write "name:" at the model in spec.yaml'),
            ("--max-batch-size", "max_batch_size", 'write "max_batch_size:" at the model or under defaults'),
            ("--instances", "instance_count", 'write "instances:" at the model or under defaults'),
            ("--score-threshold", "score", 'write "score:" at the model or under defaults'),
            ("--input-shape", "input_shape", 'write "input_shape:" at the model or under defaults'),
        ],
    )
    def test_what_to_make_is_not(self, here: Path, option: str, attribute: str, told: str) -> None:
        with pytest.raises(UsageError, match=f"^{option} is for one model and spec.yaml has 2; {told}"):
            self.jobs(self.TWO, Override(option=option, attribute=attribute, value=1))

    def test_of_one_model_they_are_all_taken(self, here: Path) -> None:
        (job,) = self.jobs(
            "models:\n  - {source: model.onnx, name: a, thresholds: {score: 0.1, iou: 0.2}}\n",
            Override(option="--name", attribute="name", value="b"),
            Override(option="--score-threshold", attribute="score", value=0.9),
        )
        assert (job.spec.name, job.spec.thresholds) == ("b", Thresholds(score=0.9, iou=0.2))

    def test_their_mistakes_are_no_mistakes_of_the_file(self, here: Path) -> None:
        one = "models:\n  - source: model.onnx\n"
        with pytest.raises(InvalidModelNameError):
            self.jobs(one, Override(option="--name", attribute="name", value="a b"))
        with pytest.raises(UnknownTargetError):
            self.jobs(one, Override(option="--target", attribute="targets", value=("t5",)))
        with pytest.raises(UsageError, match=r"^score threshold 7"):
            self.jobs(one, Override(option="--score-threshold", attribute="score", value=7))


def options() -> dict[str, click.Option]:
    return {str(p.name): p for p in command.params if isinstance(p, click.Option)}


def test_every_option_of_generate_has_a_key_or_is_of_the_run() -> None:
    """An option that is added to the command needs a line in the table too, or a place here."""
    of_the_run = {"discard_edits", "no_cache", "no_verify", "quiet", "as_json", "workers"}
    short = {"score_threshold": "score", "iou_threshold": "iou"}
    keys = {key.sets for key in (*flat(MODEL), *RUN)}
    assert {short.get(name, name) for name in options()} - of_the_run == keys - {"source", "per_target"}


def test_every_key_sets_something_that_there_is() -> None:
    there = {f.name for kind in (Spec, Thresholds, Options) for f in dataclasses.fields(kind)} | {"mean", "std"}
    assert {key.sets for key in (*flat(MODEL), *RUN)} <= there


def test_ranges_are_those_of_the_options() -> None:
    compared = 0
    for key in flat(MODEL):
        option = options().get(key.sets)
        if option is not None and isinstance(key.kind, Whole) and isinstance(option.type, click.IntRange):
            assert (option.type.min, option.type.max) == (key.kind.least, key.kind.most), key.name
            compared += 1
        if option is not None and isinstance(key.kind, Number) and isinstance(option.type, click.FloatRange):
            assert (option.type.min, option.type.max) == (key.kind.least, key.kind.most), key.name
            compared += 1
        elif isinstance(key.kind, Number):
            from kit import spec

            inside = (key.kind.least + 1e-9, key.kind.most - 1e-9)
            for value in inside:
                spec.check_thresholds(dataclasses.replace(Thresholds(), **{key.sets: value}))
            outside = (key.kind.least - (not key.kind.without_least), key.kind.most + (not key.kind.without_most))
            for value in outside:
                with pytest.raises(UsageError):
                    spec.check_thresholds(dataclasses.replace(Thresholds(), **{key.sets: value}))
            compared += 1
    assert compared >= 10


class TestWhatIsASpec:
    @pytest.mark.parametrize("name", ["spec.yaml", "spec.yml", "folder/x.yaml"])
    def test_by_its_name(self, name: str) -> None:
        assert is_spec(name)

    @pytest.mark.parametrize("name", ["model.onnx", "yaml", "a.yaml.onnx", "package.yaml:build", "", "yolo11n.yaml"])
    def test_not(self, name: str) -> None:
        assert not is_spec(name)

    def test_a_network_of_ultralytics_is_none(self, tmp_path: Path) -> None:
        network, spec = tmp_path / "yolo11.yaml", tmp_path / "spec.yaml"
        network.write_text("nc: 80\nscales:\n  n: [0.5]\nbackbone:\n  - [-1, 1, Conv, [64, 3, 2]]\nhead:\n")
        spec.write_text("models:\n  - source: x\n    backbone: y\n")
        assert not is_spec(str(network))
        assert is_spec(str(spec))
