"""A manifest gives the same pictures again, or says which one is another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import scenery

from kit import calibration
from kit.calibration import CalibrationSet
from kit.errors import CalibrationError, NotWritableError, UsageError


@pytest.fixture
def place(scenes: Path, clip: Path, tmp_path: Path) -> Path:
    """A folder with pictures, a video, and the manifest of a choice among them."""
    shutil.copytree(scenes, tmp_path / "data" / "scenes")
    shutil.copy(clip, tmp_path / "data" / "clip.mp4")
    calibration.write(calibration.choose(tmp_path / "data", 80), tmp_path / "calibration.json")
    return tmp_path


def chosen(place: Path, apart_from: Path | None = None) -> CalibrationSet:
    apart = () if apart_from is None else calibration.pictures(apart_from)
    return calibration.choose(place / "calibration.json", apart_from=apart)


def refused(place: Path, match: str) -> None:
    with pytest.raises(CalibrationError, match=match):
        chosen(place)


def test_it_gives_the_same_set_again_whatever_count_is_usual(place: Path) -> None:
    assert chosen(place) == calibration.choose(place / "data", 80)


def test_it_is_the_same_bytes_wherever_it_stands(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(place / "data", other / "data")
    calibration.write(calibration.choose(other / "data", 80), other / "calibration.json")
    assert (other / "calibration.json").read_bytes() == (place / "calibration.json").read_bytes()
    assert chosen(other).digest == chosen(place).digest


def test_it_names_pictures_from_its_own_folder_with_their_files_digests(place: Path) -> None:
    document = json.loads((place / "calibration.json").read_text())
    assert document["format"] == "triton-edge-kit calibration 1"
    assert {line["path"] for line in document["pictures"] if line["frame"] is not None} == {"data/clip.mp4"}
    assert len({line["sha256"] for line in document["pictures"] if line["frame"] is not None}) == 1
    assert all(len(line["print"]) == 64 for line in document["pictures"])


def test_pictures_of_the_validation_set_are_left_out_of_it(place: Path) -> None:
    validation = place / "validation"
    for path in [p.path for p in chosen(place).pictures if p.frame is None][:10]:
        validation.mkdir(exist_ok=True)
        shutil.copy(path, validation)
    made = chosen(place, validation)
    assert len(made) == 70
    assert sorted(choice.rank for choice in made.choices) == list(range(70))
    assert made.warnings[-1] == "left out 10 of 80 pictures that are in the validation set, or copies of it"
    with pytest.raises(
        CalibrationError, match="leaves 0 pictures to calibrate on: 80 are in the validation set too; 32"
    ):
        chosen(place, place / "data")


def test_a_changed_picture(place: Path) -> None:
    made = chosen(place)
    victims = sorted({p.path for p in made.pictures if p.frame is None})[:2]
    for number, path in enumerate(victims):
        scenery.scene(900 + number).save(path)
    refused(place, rf"^2 of \d+ files that .* names have changed \(first: data/scenes/{victims[0].name}\); bring them")


def test_a_picture_that_has_gone(place: Path) -> None:
    (place / "data" / "clip.mp4").unlink()
    refused(place, r"^1 of \d+ files that .* names are not there any more \(first: data/clip\.mp4\); bring them back")


def test_an_edited_manifest(place: Path) -> None:
    path = place / "calibration.json"
    document = json.loads(path.read_text())
    del document["pictures"][0]
    path.write_text(json.dumps(document))
    refused(place, "was edited: its list of pictures is not the one that was chosen; run kit calibration")


def test_a_manifest_with_something_missing(place: Path) -> None:
    path = place / "calibration.json"
    document = json.loads(path.read_text())
    del document["coverage"]
    path.write_text(json.dumps(document))
    refused(place, "is no manifest of a calibration set: Object missing required field `coverage`; run kit calibration")


def test_its_pictures_and_images_can_be_had_without_choosing(place: Path) -> None:
    made = chosen(place)
    assert calibration.pictures(place / "calibration.json") == made.pictures
    assert set(calibration.images(place / "calibration.json")) == {p.path for p in made.pictures if p.frame is None}
    assert len(calibration.images(place / "data")) == 60
    assert calibration.images(place / "data" / "clip.mp4") == ()


def test_it_is_written_whole_or_not_at_all(place: Path) -> None:
    before = (place / "calibration.json").read_bytes()
    made = calibration.choose(place / "data", 80)
    with (place / "data" / "clip.mp4").open("ab") as file:
        file.write(b"more")
    with pytest.raises(CalibrationError, match=r"clip\.mp4 has changed since its frames were chosen; choose again"):
        calibration.write(made, place / "calibration.json")
    assert (place / "calibration.json").read_bytes() == before
    with pytest.raises(NotWritableError, match=r"0000\.jpg cannot be written: File exists"):
        calibration.write(made.first(1), place / "data" / "scenes" / "0000.jpg" / "calibration.json")


def test_nothing_but_a_manifest_is_written_over(place: Path) -> None:
    calibration.require_replaceable(place / "calibration.json")
    calibration.require_replaceable(place / "new.json")
    (place / "annotations.json").write_text('{"images": []}')
    with pytest.raises(
        UsageError, match=r"annotations\.json is there and is no calibration set; choose another --output"
    ):
        calibration.require_replaceable(place / "annotations.json")
