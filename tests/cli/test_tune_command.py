"""``kit tune`` as it is typed: what is understood, what is refused, and how it ends."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tunings

from kit import targets
from kit.cli import tune as command
from kit.errors import InvalidSpecError, NotWritableError
from kit.specfile import applying, tuned
from kit.tune.planning import Said, plan
from kit.tune.values import Found, Limits, Need
from kit.types import Serving

from .conftest import Kit

ROOT = Path(__file__).parents[2]


def said(**given: object) -> Said:
    values = {
        "repository": ROOT / "model_repository", "model": "digits", "target": "x86-cpu", "p99": "50ms", "cameras": None,
        "fps": None, "fail_ratio": "1%", "instances": None, "batch": None, "delay": None, "threads": None,
        "variants": (), "budget": None, "url": None, "engine": None, "images": None, "journal": None, "fresh": False,
        "target_folders": (),
    }  # fmt: skip
    return Said(**{**values, **given})  # type: ignore[arg-type]


class TestPlanning:
    def test_what_is_typed_arrives(self) -> None:
        job = plan(said(
            cameras=8, fps="12.5", fail_ratio="0.1%", instances="4,1, 2,1", batch="8", delay="2ms,0,500us", threads="0",
            variants=("int8=out/int8",), budget="10m", url="orin:8001", fresh=True,
        ))  # fmt: skip
        assert job.need == Need(p99_ms=50.0, cameras=8, fps=12.5, fail_ratio=0.001)
        assert job.need.rate == 100.0
        assert job.limits == Limits(
            instances=(1, 2, 4), max_batch_sizes=(8,), queue_delays_us=(0, 500, 2000), threads=(0,), budget_s=600.0
        )
        assert (job.variants, job.url, job.fresh) == ({"int8": Path("out/int8")}, "orin:8001", True)

    def test_little_need_be_typed(self) -> None:
        job = plan(said(model=None, target=None))
        assert (job.model, job.target, job.engine, job.limits) == ("digits", "x86-cpu", "embedded", Limits())
        assert job.need.rate is None


REPOSITORY = str(ROOT / "model_repository")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([REPOSITORY], 2, "nothing says how long an answer may take; give --p99 50ms"),
        ([REPOSITORY, "--p99", "fast"], 2, '"fast" is no time; give 50ms'),
        ([REPOSITORY, "--p99", "2m"], 2, "longer than a minute"),
        ([REPOSITORY, "--p99", "50ms", "--fps", "5"], 91, "--fps is of --cameras"),
        ([REPOSITORY, "--p99", "50ms", "--cameras", "2", "--fps", "0"], 2, "no number of frames a second"),
        ([REPOSITORY, "--p99", "50ms", "--instances", "1,x"], 2, '--instances "1,x": each is a whole number from 1 to'),
        ([REPOSITORY, "--p99", "50ms", "--batch", "0"], 2, '--batch "0": each is a whole number from 1 to 1024'),
        ([REPOSITORY, "--p99", "50ms", "--batch", ""], 2, '--batch "": each is a whole number'),
        ([REPOSITORY, "--p99", "50ms", "--delay", "2 weeks"], 2, '--delay "2 weeks": each is 0 or a time; give 0,2ms'),
        ([REPOSITORY, "--p99", "50ms", "--threads", ",".join(map(str, range(40)))], 2, "32 are the most"),
        ([REPOSITORY, "--p99", "50ms", "--budget", "soon"], 2, '"soon" is no time'),
        ([REPOSITORY, "--p99", "50ms", "--fail-ratio", "3"], 2, '"3" is no share'),
        ([REPOSITORY, "--p99", "50ms", "--variant", "int8"], 2, "give --variant int8=out/int8"),
        ([REPOSITORY, "--p99", "50ms", "--variant", "a=b", "--variant", "a=c"], 91, "--variant a is given twice"),
        ([REPOSITORY, "--p99", "50ms", "--url", "x:1", "--engine", "docker"], 91, "leave out --engine docker"),
        ([REPOSITORY, "--p99", "50ms", "--model", "digit"], 45, 'holds no model "digit"; did you mean "digits"?'),
        ([REPOSITORY, "--p99", "50ms", "--report", "/proc/here"], 40, "/proc/here cannot be written"),
        (["nowhere", "--p99", "50ms"], 45, "nowhere is no folder"),
        ([".", "--p99", "50ms"], 45, ". holds no model; make one: kit generate"),
        ([REPOSITORY, "--p99", "50ms", "--spec", "nowhere.yaml"], 10, "nowhere.yaml does not exist"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_measured(
    kit_command: Kit, arguments: list[str], code: int, words: str
) -> None:
    kit_command("tune", *arguments).refuses(code, words)


def test_what_could_be_one_of_several_is_asked_for(kit_command: Kit) -> None:
    for name in ("a", "b"):
        shutil.copytree(ROOT / "model_repository" / "digits", Path("many") / name)
    kit_command("tune", "many", "--p99", "50ms").refuses(2, "many holds a, b; give --model NAME")
    (Path("many") / "a" / "manifest.json").unlink()
    kit_command("tune", "many", "--model", "a", "--p99", "50ms").refuses(2, "nothing says what many/a is made for")
    spec = f"models:\n- {{source: {ROOT}/examples/digits/digits.onnx, targets: t4}}\n"
    Path("spec.yaml").write_text(spec)
    arguments = ("tune", REPOSITORY, "--p99", "50ms", "--spec", "spec.yaml")
    kit_command(*arguments).refuses(91, "spec.yaml makes digits for t4, not for x86-cpu")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("spec.yaml")
    path.write_text(f"models:\n- source: {ROOT}/examples/digits/digits.onnx  # ours\n  instances: 1\n")
    return path


def conclude(found: Found, spec: Path | None, *, as_json: bool = False, report: Path | None = None) -> int:
    wanted = applying.find(spec, "digits", "x86-cpu") if spec is not None else None
    return command._conclude(tunings.JOB, found, wanted, report=report, as_json=as_json, quiet=False)


def test_targets_of_ones_own_are_known_from_the_option_or_the_spec(tmp_path: Path, spec: Path) -> None:
    Path("mine").mkdir()
    text = (targets.BUILT_IN / "x86-cpu.toml").read_text(encoding="utf-8")
    Path("mine/my-box.toml").write_text(text, encoding="utf-8")
    source = f"source: {ROOT}/examples/digits/digits.onnx"
    job = plan(said(target="my-box"))
    spec.write_text(f"models:\n- {{{source}, targets: my-box}}\n")
    with pytest.raises(InvalidSpecError, match="no target"):
        tuned.begin(job, spec)
    job, wanted = tuned.begin(replace(job, target_folders=(Path("mine"),)), spec)
    assert wanted is not None
    assert applying.apply(wanted, Serving(instance_count=3))[0].after == "3"
    spec.write_text(f"target_folders: mine\nmodels:\n- {{{source}, targets: my-box}}\n")
    job, wanted = tuned.begin(plan(said(target="my-box")), spec)
    assert job.target_folders == (Path("mine"),)
    assert wanted is not None
    assert applying.apply(wanted, Serving(instance_count=3))[0].after == "3"


class TestTheEnd:
    def test_what_holds_is_written_into_the_spec(self, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert conclude(tunings.found(), spec) == 0
        assert spec.read_text().splitlines()[1:] == [
            f"- source: {ROOT}/examples/digits/digits.onnx  # ours", "  instances: 2", "  max_batch_size: 2",
            "  threads: 1",
        ]  # fmt: skip
        lines = capsys.readouterr().out.splitlines()
        assert "spec.yaml:3: instances: 2 (was 1)" in lines
        assert lines[-1] == "next: kit generate spec.yaml"
        assert conclude(tunings.found(), spec) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "spec.yaml says so already"

    @pytest.mark.parametrize(
        ("found", "code", "words"),
        [
            (tunings.found_too_little(), 1, "spec.yaml stays as it is: nothing holds what is needed"),
            (tunings.found_nothing(), 3, "not measurable"),
            (tunings.found_so_far(), 130, "spec.yaml stays as it is: it was interrupted before it was known"),
        ],
    )
    def test_nothing_else_is(
        self, spec: Path, found: Found, code: int, words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = spec.read_text()
        assert conclude(found, spec) == code
        assert spec.read_text() == before
        assert words in capsys.readouterr().out

    def test_a_spec_that_cannot_be_written_costs_no_result(
        self, spec: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A folder of the partial file's name is in the way, also for root."""
        Path(".spec.yaml.partial").mkdir()
        with pytest.raises(NotWritableError, match=r"cannot be written"):
            conclude(tunings.found(), spec, report=Path("out"))
        shown = capsys.readouterr().out
        assert "holds: 2x batch 2, 1 thread" in shown
        assert "  instances: 2\n" in shown
        assert (
            json.loads(Path("out/tune.json").read_text())["applied"]["refused"].count(
                ".spec.yaml.partial cannot be written"
            )
            == 1
        )

    def test_json_is_one_document(self, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert conclude(tunings.found(), spec, as_json=True) == 0
        read = json.loads(capsys.readouterr().out)
        assert read["applied"]["written"][0] == {"key": "max_batch_size", "before": "4", "after": "2", "line": 4}
        assert read["head_room"] == pytest.approx(171 / 120 - 1)
