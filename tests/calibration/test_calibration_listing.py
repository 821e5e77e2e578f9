"""Where pictures are looked for, and what is said where there are none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import scenery

from kit import calibration, inputs
from kit.calibration import listing
from kit.errors import CalibrationError, InputsError


def refused(source: Path, *, match: str) -> None:
    with pytest.raises(CalibrationError, match=match) as caught:
        listing.of(source)
    assert "\n" not in str(caught.value)


def coco(path: Path, names: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": n, "file_name": name, "width": 1, "height": 1} for n, name in enumerate(names)]
    path.write_text(json.dumps({"images": images, "annotations": [{"image_id": 0}], "categories": []}))
    return path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


class TestFolder:
    def test_images_and_videos_below_it_in_order_without_hidden_ones(self, tmp_path: Path) -> None:
        names = ["b.JPG", "a/2.png", "a/1.webp", "clip.MP4", ".trash/x.jpg", "._a.jpg", "notes.txt", "a/z.mkv"]
        touch(*(tmp_path / name for name in names))
        found = listing.of(tmp_path)
        assert [p.relative_to(tmp_path).as_posix() for p in found.images] == ["b.JPG", "a/1.webp", "a/2.png"]
        assert [p.relative_to(tmp_path).as_posix() for p in found.videos] == ["clip.MP4", "a/z.mkv"]
        assert found.kind == "folder of images and videos"

    def test_linked_folders_are_gone_into_once(self, tmp_path: Path) -> None:
        touch(tmp_path / "elsewhere" / "1.jpg", tmp_path / "set" / "a" / "2.jpg")
        (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "set" / "a" / "round").symlink_to(tmp_path / "set")
        found = listing.of(tmp_path / "set").images
        assert [p.relative_to(tmp_path / "set").as_posix() for p in found] == ["a/2.jpg", "linked/1.jpg"]

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(b"")
        refused(tmp_path, match=r"/\\xff\.jpg: its name is no text in UTF-8; rename it$")

    def test_without_any(self, tmp_path: Path) -> None:
        touch(tmp_path / "notes.txt")
        refused(tmp_path, match=r" holds no images \(\.bmp, .*\) and no videos \(\.avi, ")

    def test_a_folder_that_is_named_like_an_image(self, tmp_path: Path) -> None:
        touch(tmp_path / "odd.jpg" / "real.jpg")
        assert listing.of(tmp_path).images == (tmp_path / "odd.jpg" / "real.jpg",)

    def test_that_may_not_be_read(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            scenery.folder(folder / "inner", 1)
            (folder / "inner").chmod(0)
            before = os.geteuid()
            try:
                if before == 0:  # who may read everything
                    os.seteuid(65534)
                refused(folder / "inner", match="inner cannot be read: Permission denied; give a folder of images")
                refused(folder, match="inner cannot be read: Permission denied; give a folder of images")
            finally:
                os.seteuid(before)
                (folder / "inner").chmod(0o755)


class TestCoco:
    @pytest.mark.parametrize(
        ("annotations", "images"),
        [
            ("annotations.json", "images"), ("annotations.json", "."), ("instances_val.json", "val"),
            ("annotations/instances_val2017.json", "val2017"), ("annotations/instances_val2017.json", "images/val2017"),
        ],
    )  # fmt: skip
    def test_is_found_by_its_folder_or_its_file(self, tmp_path: Path, annotations: str, images: str) -> None:
        touch(tmp_path / images / "2.jpg", tmp_path / images / "1.jpg", tmp_path / images / "not-in-the-set.jpg")
        path = coco(tmp_path / annotations, ["2.jpg", "1.jpg", "gone.jpg"])
        by_folder, by_file = listing.of(tmp_path), listing.of(path)
        assert by_folder == by_file
        assert [p.resolve() for p in by_file.images] == [tmp_path / images / "1.jpg", tmp_path / images / "2.jpg"]
        assert [p.name for p in by_file.missing] == ["gone.jpg"]

    def test_whose_images_are_elsewhere(self, tmp_path: Path) -> None:
        path = coco(tmp_path / "annotations.json", ["1.jpg"])
        refused(path, match=r"names 1\.jpg and others, and none is there; looked in .*images")

    def test_with_two_annotation_files(self, tmp_path: Path) -> None:
        for split in ("train", "val"):
            coco(tmp_path / "annotations" / f"instances_{split}.json", ["1.jpg"])
        refused(tmp_path, match=r"holds annotations/instances_train\.json and annotations/instances_val\.json; give")

    def test_a_file_beside_images_that_is_something_else_counts_for_nothing(self, tmp_path: Path) -> None:
        touch(tmp_path / "1.jpg")
        (tmp_path / "annotations.json").write_text("{}")
        assert listing.of(tmp_path).kind == "folder of images"

    def test_broken_json(self, tmp_path: Path) -> None:
        (tmp_path / "annotations.json").write_text('{"images": [')
        refused(tmp_path / "annotations.json", match="is no COCO annotation file: ")

    def test_json_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "spec.json").write_text('{"models": []}')
        refused(tmp_path / "spec.json", match='is JSON without "images"')


class TestOtherFiles:
    def test_one_image(self, tmp_path: Path) -> None:
        touch(tmp_path / "cat.jpg")
        refused(tmp_path / "cat.jpg", match=r"cat\.jpg is one image; give a folder of images or videos, a COCO set")

    def test_text(self, tmp_path: Path) -> None:
        touch(tmp_path / "notes.txt")
        refused(tmp_path / "notes.txt", match=r"notes\.txt is a file of no kind that holds pictures; give a folder")

    def test_nothing(self, tmp_path: Path) -> None:
        refused(tmp_path / "nowhere", match="nowhere cannot be read: No such file or directory; give a folder")

    def test_a_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "round").symlink_to(tmp_path / "round")
        refused(tmp_path / "round", match="round cannot be read: Too many levels of symbolic links; give a folder")


class TestImages:
    """What answers are compared on: images of any set; frames of a video are not taken out for that."""

    def test_of_a_folder_are_as_ever(self, scenes: Path) -> None:
        assert calibration.images(scenes) == inputs.images_in(scenes)

    def test_of_a_coco_file_are_those_it_names(self, scenes: Path, tmp_path: Path) -> None:
        shutil.copytree(scenes, tmp_path / "images")
        path = coco(tmp_path / "annotations.json", ["0001.jpg", "0000.jpg"])
        assert calibration.images(path) == (tmp_path / "images" / "0000.jpg", tmp_path / "images" / "0001.jpg")

    def test_of_videos_are_none(self, clip: Path, tmp_path: Path) -> None:
        shutil.copy(clip, tmp_path)
        assert calibration.images(clip) == calibration.images(tmp_path) == ()

    def test_of_nothing(self, tmp_path: Path) -> None:
        for source, said in ((tmp_path, "holds no images"), (tmp_path / "nowhere", "is no folder; give a folder")):
            with pytest.raises(InputsError, match=said):
                calibration.images(source)
