"""The report's files: beside the repository, whole or not at all, the same numbers for programs."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import qualities
from hypothesis import HealthCheck, given, settings

from kit.quality import page, writing
from kit.quality.values import Quality

Golden = Callable[[str, str], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    return work


def test_both_files_stand_beside_the_repository(tmp_path: Path, folder: Path) -> None:
    written = writing.write(qualities.example(), tmp_path / "models", folder)
    assert written == writing.Written(
        html=tmp_path / "models.digits.quality.html", json=tmp_path / "models.digits.quality.json"
    )
    assert written.html.read_text(encoding="utf-8") == page.render(qualities.example())
    assert written.json.read_text(encoding="utf-8") == writing.as_json(qualities.example())
    assert list(folder.iterdir()) == []


def test_a_second_run_takes_the_place_of_the_first(tmp_path: Path, folder: Path) -> None:
    writing.write(qualities.example(), tmp_path / "models", folder)
    written = writing.write(replace(qualities.example(), machine="another"), tmp_path / "models", folder)
    assert written is not None
    assert json.loads(written.json.read_text())["machine"] == "another"
    assert len(list(tmp_path.iterdir())) == 3


def test_where_it_cannot_be_written_nothing_fails(tmp_path: Path, folder: Path) -> None:
    place = writing.place(tmp_path / "models", "digits").json
    (place / "in the way").mkdir(parents=True)
    assert writing.write(qualities.example(), tmp_path / "models", folder) is None


def test_a_repository_on_a_file_system_of_its_own(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    written = writing.write(qualities.example(), tmp_path / "models", folder)
    assert written is not None
    assert written.html.read_text(encoding="utf-8") == page.render(qualities.example())
    assert {p.name for p in tmp_path.iterdir()} == {"work", written.html.name, written.json.name}


def test_json(golden: Golden) -> None:
    golden("quality/digits.quality.json", writing.as_json(qualities.example()))


def test_json_has_every_box_and_no_picture() -> None:
    document = json.loads(writing.as_json(qualities.example()))
    (sample,) = document["targets"][0]["trials"][0]["samples"]
    assert sorted(sample) == ["after", "before", "name", "truth", "words_after", "words_before", "words_truth"]
    assert sample["before"][1] == {"corners": [30, 8, 52, 40], "label": "dog", "score": 0.82}
    assert len(writing.as_json(qualities.example())) < 12_000


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(qualities.any_of(Quality))
def test_any_quality_is_json(quality: Quality) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(writing.as_json(quality), parse_constant=refuse)
    assert document["name"] == quality.name
    assert len(document["targets"]) == len(quality.targets)


def test_what_is_no_number_is_null() -> None:
    trial = replace(qualities.held(), after=float("nan"), bytes_after=0)
    target = replace(qualities.example().targets[0], trials=(trial,))
    document = json.loads(writing.as_json(replace(qualities.example(), targets=(target,))))
    assert document["targets"][0]["trials"][0]["after"] is None
