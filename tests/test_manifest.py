"""The manifest: the same bytes wherever and whenever it is made, true of every file, and bounds that hold."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import models
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import kit.cli
from kit import manifest, pipeline, report, spec
from kit.errors import BadRepositoryError
from kit.manifest import Manifest
from kit.planning import Options
from kit.types import Difference, Parity, Thresholds

Generate = Callable[..., pipeline.Result]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generate:
    """Return ``generate(model, targets=..., **options)``, which asks no server and works in ``tmp_path``."""
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))

    def run(source: Path, targets: tuple[str, ...] = ("x86-cpu",), **options: object) -> pipeline.Result:
        asked = spec.build(str(source), name=None, targets=targets, thresholds=Thresholds())
        made = {"output": tmp_path / "repository", "verify": "none", **options}
        return pipeline.generate(asked, Options(**made))  # type: ignore[arg-type]

    return run


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    return models.save(models.detector(metadata={"names": "['Flasche', 'Dose ü']"}), tmp_path / "bottles.onnx")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generate twice, with everything different that should not matter."""
    images = tmp_path_factory.mktemp("images")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second-with-another-length"))
    generate_in(first, images, first / "repository", LANG="C.UTF-8", TZ="UTC", PYTHONHASHSEED="1")
    generate_in(second, images, second / "deeper" / "out", LC_ALL="C", TZ="Asia/Tokyo", PYTHONHASHSEED="2")
    return first / "repository", second / "deeper" / "out"


def generate_in(home: Path, images: Path, output: Path, **variables: str) -> None:
    models.save(models.detector(metadata={"names": "['Flasche', 'Dose ü']"}), home / "bottles.onnx")
    temporary = home / "temporary"
    temporary.mkdir()
    own = {"KIT_CACHE_DIR": str(home / "cache"), "TMPDIR": str(temporary), "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "kit", "generate", str(home / "bottles.onnx"), "--no-verify", "--quiet",
         "--target", "x86-cpu", "--target", "t4", "--calibration", str(images), "--output", str(output)],
        cwd=home, env={**os.environ, **own, **variables}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [p.name for p in temporary.iterdir() if p.name != ".ses"] == []  # that one is ONNX Runtime's


class TestReproducible:
    def test_two_runs_give_the_same_bytes(self, two: tuple[Path, Path]) -> None:
        first, second = (contents(folder) for folder in two)
        assert first.keys() == second.keys()
        assert [path for path in first if first[path] != second[path]] == []

    def test_the_tree_is_what_is_promised(self, two: tuple[Path, Path]) -> None:
        assert list(contents(two[0])) == [
            f"bottles/{name}"
            for name in ("1/model.onnx", "config.pbtxt", "configs/t4.pbtxt", "configs/x86-cpu.pbtxt", "labels.txt",
                         "manifest.json")
        ]  # fmt: skip

    def test_no_path_and_no_user_is_in_it(self, two: tuple[Path, Path]) -> None:
        for folder in two:
            words = (str(folder.parent), str(Path.home()), str(Path(__file__).parents[1]), os.uname().nodename, "/tmp")
            for path, data in contents(folder).items():
                # What a target names is inside its container.
                assert not [w for w in words if len(w) > 1 and w.encode() in data], path
        texts = [d.decode() for p, d in contents(two[0]).items() if not p.endswith(".onnx")]
        absolute = {a for text in texts for a in re.findall(r"(?<=[\s\"'=:])/[\w.-]+/[\w./-]+", text)}
        assert absolute <= {"/var/cache/triton"}

    def test_no_time_is_in_it(self, two: tuple[Path, Path]) -> None:
        now = datetime.now(timezone.utc)
        for path, data in contents(two[0]).items():
            text = data.decode("latin-1")
            assert not re.search(r"20\d\d-[01]\d-[0-3]\d", text), path
            assert not re.search(rf"\b{int(now.timestamp()) // 100_000}\d{{5}}\b", text), path

    def test_what_was_measured_is_beside_it(self, two: tuple[Path, Path]) -> None:
        for folder in two:
            written = folder.with_name(f"{folder.name}.report.json")
            assert json.loads(written.read_text())["models"]["bottles"]["version"] == 1
            assert not list(folder.rglob("*report*"))

    def test_line_ends_and_encoding_are_unix_and_utf_8(self, two: tuple[Path, Path]) -> None:
        for path, data in contents(two[1]).items():
            if not path.endswith(".onnx"):
                assert b"\r" not in data, path
                assert data.endswith(b"\n"), path
                assert not data.endswith(b"\n\n"), path
        assert contents(two[1])["bottles/labels.txt"].decode() == "Flasche\nDose ü\n"


class TestContent:
    def test_reads_back_as_it_was_written(self, generate: Generate, detector: Path) -> None:
        made = generate(detector, ("x86-cpu", "t4"))
        assert manifest.read(made.entry.path) == made.manifest
        text = (made.entry.path / "manifest.json").read_text(encoding="utf-8")
        assert text == manifest.text(made.manifest)

    def test_its_keys_are_in_the_order_of_the_class(self, generate: Generate, detector: Path) -> None:
        text = (generate(detector).entry.path / "manifest.json").read_text(encoding="utf-8")
        assert list(json.loads(text)) == list(Manifest.__dataclass_fields__)

    def test_every_files_digest_is_true_and_no_file_is_left_out(self, generate: Generate, detector: Path) -> None:
        generate(detector, ("x86-cpu", "t4"))
        models.save(models.detector(seed=1), detector)
        made = generate(detector, ("t4",), keep=2)
        assert made.entry.version == 2
        real = {p: hashlib.sha256(data).hexdigest() for p, data in contents(made.entry.path).items()}
        del real["manifest.json"]
        assert dict(made.manifest.files) == real
        assert {"1/model.onnx", "2/model.onnx"} <= set(real)
        assert list(made.manifest.versions) == ["1", "2"]

    def test_says_where_the_model_came_from(self, generate: Generate, detector: Path) -> None:
        made = generate(detector).manifest
        assert (made.source.kind, made.source.name) == ("onnx", "bottles.onnx")
        assert made.source.sha256 == hashlib.sha256(detector.read_bytes()).hexdigest()
        assert made.labels == 2
        assert {"onnx", "onnxruntime", "onnxsim"} <= set(made.tools)
        assert all(re.match(r"\d+\.", version) for version in made.tools.values())

    def test_says_that_nothing_was_verified(
        self, generate: Generate, detector: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        made = generate(detector, ("x86-cpu", "t4"))
        for record in made.manifest.targets.values():
            assert (record.verification.level, record.verification.server) == ("none", None)
            assert record.verification.reason == "--no-verify was given"
        assert kit.cli.run(["generate", str(detector), "--no-verify", "--output", str(tmp_path / "again")]) == 0
        assert re.search(r"x86-cpu +NOT VERIFIED", capfd.readouterr().err)

    @pytest.mark.parametrize("no_verify", [("--no-verify",), ("--verify", "none"), ("--no-verify", "--verify", "live")])
    def test_no_verify_wins_however_it_is_said(
        self, no_verify: tuple[str, ...], detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
        assert kit.cli.run(["generate", str(detector), *no_verify, "--json", "--output", str(tmp_path / "r")]) == 0
        document = json.loads(capfd.readouterr().out)
        assert document["manifest"]["targets"]["x86-cpu"]["verification"]["level"] == "none"

    def test_a_second_run_writes_nothing(self, generate: Generate, detector: Path) -> None:
        first = generate(detector)
        before = {p: p.stat().st_mtime_ns for p in first.entry.path.rglob("*")}
        again = generate(detector)
        assert (first.entry.changed, again.entry.changed) == (True, False)
        assert {p: p.stat().st_mtime_ns for p in again.entry.path.rglob("*")} == before

    def test_other_batching_writes_text_and_keeps_the_model(self, generate: Generate, detector: Path) -> None:
        before = contents(generate(detector).entry.path)
        made = generate(detector, ("t4",))
        after = contents(made.entry.path)
        assert made.entry.changed
        assert made.entry.version == 1
        assert after["1/model.onnx"] == before["1/model.onnx"]
        assert after["config.pbtxt"] != before["config.pbtxt"]


class TestJson:
    def test_is_one_document_with_what_stands_now(
        self, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
        output = tmp_path / "r"
        for changed in (True, False):
            assert kit.cli.run(["generate", str(detector), "--no-verify", "--json", "--output", str(output)]) == 0
            out, err = capfd.readouterr()
            assert err == ""
            document = json.loads(out)
            entry = {"name": "bottles", "path": str(output / "bottles"), "version": 1, "changed": changed}
            assert document["entry"] == entry
            assert document["report"] == str(report.place(output))
            assert document["manifest"] == json.loads((output / "bottles" / "manifest.json").read_text())

    def test_errors_leave_standard_output_empty(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert kit.cli.run(["generate", "nowhere.onnx", "--json"]) == 10
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("kit: nowhere.onnx does not exist")


class TestRead:
    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"3", b"null", b'"triton-edge-kit/1"', b"{}", b'{"format": "other/1"}', b'{"format": null}',
         b"\xff\xfe", b'{"format": "\xff"}'],
    )  # fmt: skip
    def test_what_is_not_ours_is_none(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_bytes(content)
        assert manifest.read(tmp_path) is None

    def test_nothing_is_none(self, tmp_path: Path) -> None:
        assert manifest.read(tmp_path) is None
        assert manifest.read(tmp_path / "nowhere") is None
        (tmp_path / "manifest.json").mkdir()
        assert manifest.read(tmp_path) is None

    @pytest.mark.parametrize(
        "content", [b'{"format": "triton-edge-kit/1"}', b'{"format": "triton-edge-kit/2", "name": "x"}']
    )
    def test_what_is_ours_and_unknown_is_an_error(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_bytes(content)
        with pytest.raises(BadRepositoryError, match=r"manifest\.json was written by another version of the kit"):
            manifest.read(tmp_path)


class TestReport:
    def test_holds_each_models_last_run(self, generate: Generate, tmp_path: Path) -> None:
        for name in ("a", "b", "a"):
            made = generate(models.save(models.scale(), tmp_path / f"{name}.onnx"))
        document = json.loads(made.report.read_text())
        assert list(document) == ["models"]
        assert sorted(document["models"]) == ["a", "b"]
        stages = {s["stage"]: s for s in document["models"]["a"]["stages"]}
        assert {"load", "simplify", "interpret", "contract", "compare", "publish"} <= set(stages)
        assert stages["simplify"]["cached"]
        assert made.report == tmp_path / "repository.report.json"

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"models": 3}', '{"models": [["a"]]}', '{"other": 1}'])
    def test_one_that_is_no_report_is_written_anew(self, content: str, generate: Generate, tmp_path: Path) -> None:
        (tmp_path / "repository.report.json").write_text(content)
        made = generate(models.save(models.scale(), tmp_path / "a.onnx"))
        assert list(json.loads(made.report.read_text())["models"]) == ["a"]


def parity(*found: tuple[float, float, float]) -> Parity:
    differences = tuple(
        Difference(output="y", batch=n, nan=0, maximum=maximum, relative=relative, cosine=cosine)
        for n, (maximum, relative, cosine) in enumerate(found, start=1)
    )
    return Parity(stage="simplify", inputs="random", tolerance=1e-4, differences=differences)


NEAR_POWERS = st.builds(
    lambda exponent, bits: 10.0**exponent * (1 + bits * sys.float_info.epsilon), st.integers(-12, 6), st.integers(-9, 9)
)
VALUES = st.floats(0, 1e6) | NEAR_POWERS | NEAR_POWERS.map(lambda v: v * (1 + 1e-10))
COSINES = st.floats(0.9999, 1 + 1e-12)


class TestBounds:
    @given(st.lists(st.tuples(VALUES, VALUES, COSINES), min_size=1, max_size=4))
    def test_hold_for_every_batch_and_are_powers_of_ten(self, found: list[tuple[float, float, float]]) -> None:
        ((output,),) = (stage.outputs for stage in manifest.summarize([parity(*found)]))
        maximum, relative, cosine = zip(*found, strict=True)
        assert output.maximum_below >= max(maximum)
        assert output.relative_below >= max(relative)
        assert output.cosine_above <= min(cosine)
        assert output.batches == tuple(range(1, len(found) + 1))
        for bound in (output.maximum_below, output.relative_below):
            assert re.fullmatch(r"1e[+-]\d+", f"{bound:.0e}")
            assert bound == float(f"{bound:.0e}")

    @given(VALUES)
    def test_are_no_looser_than_one_power_of_ten(self, value: float) -> None:
        ((output,),) = (stage.outputs for stage in manifest.summarize([parity((value, value, 1.0))]))
        assert output.maximum_below <= max(1e-3, 10 * value * (1 + 1e-8))
        assert output.relative_below <= max(1e-5, 10 * value * (1 + 1e-8))

    @pytest.mark.parametrize(
        ("value", "bound"),
        [(0.0, 1e-5), (1e-9, 1e-5), (1e-5, 1e-5), (1.1e-5, 1e-4), (9.9e-5, 1e-4), (1e-4, 1e-4), (1.0, 1.0)],
    )
    def test_by_example(self, value: float, bound: float) -> None:
        ((output,),) = (stage.outputs for stage in manifest.summarize([parity((value, value, 1.0))]))
        assert output.relative_below == bound

    @given(st.lists(st.tuples(VALUES, VALUES, COSINES), min_size=1, max_size=3))
    def test_are_the_same_for_values_that_another_processor_rounds_otherwise(
        self, found: list[tuple[float, float, float]]
    ) -> None:
        """What is below a bound by a good part of it may change in its last digits."""
        ((before,),) = (stage.outputs for stage in manifest.summarize([parity(*found)]))
        nudged = [(m * (1 - 1e-7), r * (1 - 1e-7), c) for m, r, c in found]
        ((after,),) = (stage.outputs for stage in manifest.summarize([parity(*nudged)]))
        if before.maximum_below / 10 < max(m for m, _, _ in nudged):
            assert after.maximum_below == before.maximum_below

    def test_nan_is_counted(self) -> None:
        broken = parity((0.0, 0.0, 1.0))
        broken = replace(broken, differences=tuple(replace(d, nan=3) for d in broken.differences))
        ((output,),) = (stage.outputs for stage in manifest.summarize([broken]))
        assert output.nan == 3
        assert not math.isnan(output.maximum_below)
