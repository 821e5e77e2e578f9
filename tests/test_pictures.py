"""Which pictures a run in a lower precision rests on: none that are judged on are calibrated on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import calibration, pictures
from kit.errors import CalibrationError, UsageError
from kit.types import Interpretation, Spec, Thresholds

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
MEANING = Interpretation(
    task="detect", head="yolov8", contract="served", class_count=10, normalization=None, color="rgb",
    thresholds=Thresholds(), reason="",
)  # fmt: skip
LABELS = tuple("0123456789")


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def asked(given: Path | None = None, judged: Path | None = None, *, count: int = 500) -> Spec:
    return Spec(
        source="m.onnx", name="m", targets=(), precision="int8", calibration=given, calibration_count=count,
        validation=judged,
    )  # fmt: skip


def test_a_set_to_judge_on_beside_one_to_calibrate_on() -> None:
    """The folder given holds the validation set too: it is left out, and that is told."""
    found = pictures.gather(asked(DIGITS, DIGITS / "test", count=100), MEANING, LABELS)
    assert found.calibration is not None
    assert len(found.validation) == 300
    assert len(found.calibration) == 100
    judged = {p.digest for p in found.validation.pictures}
    assert not judged & {p.digest for p in found.calibration.pictures}
    assert found.calibration.coverage.leaking == 300
    assert any(note.startswith("left out 300 pictures of the validation set") for note in found.notes)


def test_one_folder_is_divided() -> None:
    source = DIGITS / "calibration"
    found = pictures.gather(asked(source), MEANING, LABELS)
    assert found.calibration is not None
    judged, calibrated = ({p.digest for p in each.pictures} for each in (found.validation, found.calibration))
    assert (len(judged), len(calibrated), len(judged & calibrated)) == (80, 240, 0)
    assert found.notes[0] == f"no --validation: judged on 80 pictures of {source} that are not calibrated on"


def test_a_choice_that_was_made_is_taken_as_it_is_beside_a_validation_set(tmp_path: Path) -> None:
    manifest = tmp_path / "calibration.json"
    made = calibration.choose(DIGITS / "calibration", 50)
    calibration.write(made, manifest)
    found = pictures.gather(asked(manifest, DIGITS / "test"), MEANING, LABELS)
    assert found.calibration == made


def test_a_video_and_a_choice_that_was_made_leave_nothing_to_judge_on(tmp_path: Path) -> None:
    manifest = tmp_path / "calibration.json"
    calibration.write(calibration.choose(DIGITS / "calibration", 50), manifest)
    for source in (DIGITS / "video.mp4", manifest):
        with pytest.raises(UsageError, match="is to be calibrated on as a whole; to judge the result on, give --valid"):
            pictures.require(asked(source), "int8", calibrated=True)
        pictures.require(asked(source, DIGITS / "test"), "int8", calibrated=True)


def test_the_same_set_for_both_leaves_nothing_to_calibrate_on() -> None:
    source = DIGITS / "test" / "annotations.json"
    assert json.loads(source.read_text())["images"]
    with pytest.raises(CalibrationError, match=r"leaves 0 pictures to calibrate on of 300 \(300 in the validation set"):
        pictures.gather(asked(source, source), MEANING, LABELS)


@pytest.mark.parametrize(
    ("calibrated", "said"),
    [
        (True, "--precision int8 takes its ranges from real pictures: give --calibration, a folder, a COCO set or a"),
        (False, "--precision int8 is judged on real pictures: give --validation"),
    ],
)
def test_no_pictures_at_all(said: str, *, calibrated: bool) -> None:
    with pytest.raises(UsageError, match=said):
        pictures.require(asked(), "int8", calibrated=calibrated)
