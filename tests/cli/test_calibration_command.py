"""kit calibration, as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import kit.cli
from kit.calibration import manifest

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_it_shows_what_was_chosen_and_writes_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["calibration", str(DIGITS / "calibration"), "--count", "60"]) == 0
    said = capfd.readouterr()
    for line in ("60 of 320", "variety", "first 60", "evenly spread", "brightness"):
        assert line in said.out
    assert "60 pictures: fewer than 300 leave ranges to chance" in said.err
    assert "kit generate MODEL --precision int8 --calibration calibration.json" in said.err
    assert len(json.loads(Path("calibration.json").read_text())["pictures"]) == 60


def test_json_is_one_document_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    source, validation = str(DIGITS), str(DIGITS / "test")
    assert kit.cli.run(["calibration", source, "--apart-from", validation, "--json", "--output", "c.json"]) == 0
    said = capfd.readouterr()
    document = json.loads(said.out)
    assert said.err == ""
    assert (document["pictures"], document["output"]) == (425, "c.json")
    assert document["coverage"]["leaking"] == 300
    assert document["digest"] == json.loads(Path("c.json").read_text())["digest"]


def test_quiet_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    assert kit.cli.run(["calibration", str(DIGITS / "calibration"), "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 26, "nowhere cannot be read: No such file or directory; give a folder of images or videos"),
        ([str(DIGITS / "calibration"), "--count", "7"], 26, "7 pictures are too few to calibrate on; 32 are the least"),
        ([str(DIGITS / "calibration"), "--apart-from", "nowhere"], 26, "nowhere cannot be read"),
        ([str(DIGITS / "calibration"), "--output", "notes.txt"], 2, "notes.txt is there and is no calibration set"),
        ([str(DIGITS / "digits.onnx")], 26, "digits.onnx is a file of no kind that holds pictures; give a folder"),
        ([str(DIGITS / "test" / "images" / "00000.jpg")], 26, "00000.jpg is one image; give a folder of images"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text("mine")
    assert kit.cli.run(["calibration", *arguments]) == code
    told = capfd.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.count("\n") == 1
    assert Path("notes.txt").read_text() == "mine"
    assert not Path("calibration.json").exists()


def test_ctrl_c_leaves_nothing_half_written(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    shutil.copytree(DIGITS / "calibration", tmp_path / "pictures")
    monkeypatch.setattr(manifest.disk, "sync", interrupt)  # when the list is written and not yet in place
    assert kit.cli.run(["calibration", "pictures"]) == 130
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "pictures"]
