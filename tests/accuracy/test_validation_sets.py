"""Every layout is read as its makers mean it, and every fault has its own message."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_pictures import meaning
from PIL import Image

from kit import accuracy
from kit.accuracy import Validation
from kit.accuracy.metrics import _boxes, _masks
from kit.accuracy.types import Objects, Outline
from kit.errors import InputsError, KitError, ValidationSetError
from kit.inputs import read_image
from kit.types import DataType, Layout, Signature, Tensor

NAMES = ("cat", "dog", "traffic light")


def picture(path: Path, width: int = 40, height: int = 20, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (level, 0, 0)).save(path)
    return path


def coco(folder: Path, **changes: Any) -> Path:
    """Two pictures; a cat and a crowd of dogs in the first, a traffic light in the second."""
    for name in ("a.png", "b.png"):
        picture(folder / "images" / name)
    content = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 40, "height": 20},
            {"id": 3, "file_name": "b.png", "width": 40, "height": 20},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "bbox": [2, 4, 10, 6], "area": 50, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 17, "bbox": [20, 0, 20, 20], "iscrowd": 1},
            {"id": 3, "image_id": 3, "category_id": 40, "bbox": [0, 0, 5, 5]},
        ],
        "categories": [
            {"id": 17, "name": "dog"},
            {"id": 18, "name": "cat"},
            {"id": 40, "name": "Traffic_Light"},
        ],
        **changes,
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def read(place: Path, task: str = "detect", names: tuple[str, ...] = NAMES, classes: int | None = 3) -> Validation:
    return accuracy.read(place, meaning(task, classes), names)


def objects(found: Validation, index: int) -> Objects:
    assert found.truth is not None
    one = found.truth[index]
    assert isinstance(one, Objects)
    return one


class TestCoco:
    def test_categories_find_their_classes_by_name(self, tmp_path: Path) -> None:
        coco(tmp_path)
        found = read(tmp_path)
        assert (found.layout, [p.path.name for p in found.pictures]) == ("coco", ["b.png", "a.png"])
        assert objects(found, 0).classes.tolist() == [2]
        assert objects(found, 1).classes.tolist() == [0, 1]
        assert objects(found, 1).boxes.tolist() == [[2, 4, 12, 10], [20, 0, 40, 20]]
        assert objects(found, 1).crowd.tolist() == [False, True]
        assert objects(found, 1).areas.tolist() == [50, 400]
        assert found.sizes == ((20, 40), (20, 40))
        assert found.notes == ()

    def test_the_file_itself_can_be_given(self, tmp_path: Path) -> None:
        assert read(coco(tmp_path)).digest == read(tmp_path).digest

    def test_without_names_the_order_decides(self, tmp_path: Path) -> None:
        coco(tmp_path)
        found = read(tmp_path, names=())
        assert objects(found, 1).classes.tolist() == [1, 0]
        assert found.names == ("dog", "cat", "Traffic_Light")

    def test_or_the_numbers_where_the_model_has_room_for_them(self, tmp_path: Path) -> None:
        coco(tmp_path)
        found = read(tmp_path, names=(), classes=41)
        assert objects(found, 1).classes.tolist() == [18, 17]
        assert found.name_of(40) == "Traffic_Light"
        assert "38 of 41 classes are in no validation picture" in found.notes[0]

    @pytest.mark.parametrize(("classes", "said"), [(5, "has 5 classes"), (None, "does not tell how many")])
    def test_or_nothing_does(self, tmp_path: Path, classes: int | None, said: str) -> None:
        coco(tmp_path)
        with pytest.raises(
            ValidationSetError, match=rf"3 categories with numbers 17 to 40, the model {said}.*--labels"
        ):
            read(tmp_path, names=(), classes=classes)

    def test_the_first_name_that_differs_is_told(self, tmp_path: Path) -> None:
        coco(tmp_path)
        with pytest.raises(ValidationSetError, match='class 1 of the validation set is "cat", the model has "dog"'):
            read(tmp_path, names=("puppy", "dog", "traffic light")[:3])

    def test_a_name_that_nothing_is_marked_with_does_not_matter(self, tmp_path: Path) -> None:
        categories = [{"id": 5, "name": "unicorn"}, {"id": 17, "name": "dog"}, {"id": 18, "name": "cow"}]
        coco(tmp_path, categories=categories, annotations=[{"image_id": 7, "category_id": 17, "bbox": [1, 1, 5, 5]}])
        assert objects(read(tmp_path), 1).classes.tolist() == [1]
        coco(tmp_path, categories=categories, annotations=[{"image_id": 7, "category_id": 18, "bbox": [1, 1, 5, 5]}])
        with pytest.raises(ValidationSetError, match='class 2 of the validation set is "cow", the model has "traffic'):
            read(tmp_path)

    def test_classes_that_no_picture_shows_are_told(self, tmp_path: Path) -> None:
        coco(tmp_path)
        found = read(tmp_path, names=(*NAMES, "bird", "cow"), classes=5)
        assert found.notes == (
            "2 of 5 classes are in no validation picture, and nothing is known of what they lose: bird, cow",
        )

    def test_pictures_that_are_not_there_are_told(self, tmp_path: Path) -> None:
        coco(tmp_path)
        (tmp_path / "images" / "a.png").unlink()
        assert read(tmp_path).notes[0] == (
            "1 of 2 pictures that annotations.json lists are not there (a.png); measured on the other 1"
        )
        (tmp_path / "images" / "b.png").unlink()
        with pytest.raises(ValidationSetError, match=r"none of the 2 pictures .* lists is there \(first: b.png\)"):
            read(tmp_path)

    def test_boxes_that_reach_out_are_cut_and_told(self, tmp_path: Path) -> None:
        many = [{"image_id": 7, "category_id": 17, "bbox": [1, 1, 5, 5]} for _ in range(20)]
        out = [
            {"image_id": 7, "category_id": 17, "bbox": [30, 5, 30, 5]},
            {"image_id": 7, "category_id": 17, "bbox": [50, 5, 3, 5]},
            {"image_id": 3, "category_id": 17, "bbox": [5, 5, 0, 5]},
        ]
        coco(tmp_path, annotations=many + out)
        found = read(tmp_path)
        assert objects(found, 1).boxes[-1].tolist() == [30, 5, 40, 10]
        assert found.notes[:2] == (
            "1 boxes reach out of their pictures and were cut at the edge (first: a.png)",
            "2 boxes have no area in their pictures and were left out (first: b.png)",
        )

    def test_boxes_of_other_pictures_are_refused(self, tmp_path: Path) -> None:
        coco(tmp_path, annotations=[{"image_id": 7, "category_id": 17, "bbox": [500, 5, 30, 5]}])
        with pytest.raises(ValidationSetError, match=r"1 of 1 boxes lie outside their pictures \(first: a.png\)"):
            read(tmp_path)

    def test_pictures_of_another_size_are_refused(self, tmp_path: Path) -> None:
        coco(tmp_path)
        picture(tmp_path / "images" / "a.png", 20, 40)
        with pytest.raises(ValidationSetError, match=r"a.png is listed with 40x20 pixels and has 20x40; .*turned"):
            read(tmp_path)

    def test_of_cocos_own_files_the_one_for_the_task_is_read(self, tmp_path: Path) -> None:
        path = coco(tmp_path)
        (tmp_path / "annotations").mkdir()
        for name in ("instances_train2017", "instances_val2017", "person_keypoints_val2017"):
            (tmp_path / "annotations" / f"{name}.json").write_bytes(path.read_bytes())
        path.unlink()
        (tmp_path / "images").rename(tmp_path / "val2017")
        assert len(read(tmp_path)) == 2
        (tmp_path / "annotations" / "instances_val2014.json").write_bytes(
            b'{"images":[],"annotations":[],"categories":[]}'
        )
        with pytest.raises(ValidationSetError, match=r"has 2 COCO files \(instances_val2014.json, instances_val2017"):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            (
                {"annotations": [{"image_id": 7, "category_id": 17, "bbox": [1, 2, 3]}]},
                r"no COCO file: .*annotations\[0\]",
            ),
            ({"annotations": []}, "has no annotations"),
            ({"images": []}, "lists no pictures"),
            ({"categories": [{"id": 1, "name": "dog"}]}, "annotations have category 17, which is not among"),
        ],
    )
    def test_what_is_no_coco_file_is_told(self, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
        coco(tmp_path, **changes)
        with pytest.raises(ValidationSetError, match=said):
            read(tmp_path)

    def test_a_file_that_ends_early(self, tmp_path: Path) -> None:
        path = coco(tmp_path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValidationSetError, match=r"annotations.json is no COCO file: Input data was truncated"):
            read(tmp_path)

    def test_keypoints_must_be_as_many_as_the_models(self, tmp_path: Path) -> None:
        coco(
            tmp_path, annotations=[{"image_id": 7, "category_id": 17, "bbox": [1, 1, 5, 5], "keypoints": [1, 2, 2] * 3}]
        )
        pose = replace(meaning("pose"), layout=Layout(keypoints=(3, 3)))
        found = accuracy.read(tmp_path, pose, NAMES)
        keypoints = objects(found, 1).keypoints
        assert keypoints is not None
        assert keypoints.tolist() == [[[1, 2, 2]] * 3]
        with pytest.raises(ValidationSetError, match="annotation 0 has 3 keypoints, the model gives 17"):
            accuracy.read(tmp_path, replace(pose, layout=Layout(keypoints=(17, 3))), NAMES)

    def test_outlines_are_polygons_or_run_lengths(self, tmp_path: Path) -> None:
        box = {"image_id": 7, "category_id": 17, "bbox": [0, 0, 2, 20]}
        run_lengths = {"size": [20, 40], "counts": [0, 40, 760]}
        shapes = [[[0, 0, 2, 0, 2, 20, 0, 20]], run_lengths, [], {**run_lengths, "counts": "0X1hg0"}]
        coco(tmp_path, annotations=[{**box, "segmentation": shape} for shape in shapes])
        marked = objects(read(tmp_path, "instances"), 1)
        assert marked.outlines[2] == Outline()
        first, *others = (_masks.unrolled(m) for m in _masks.outlined(marked, (20, 40), (40, 40), (40, 40)))
        assert first.sum() == first[10:30, :2].sum() == 2 * 20
        assert [int((first != other).sum()) for other in others] == [0, 0, 0]
        coco(tmp_path, annotations=[{**box, "segmentation": {**run_lengths, "counts": [0, 40]}}])
        with pytest.raises(ValidationSetError, match="run lengths are of 40 pixels, its picture has 40x20"):
            _masks.outlined(objects(read(tmp_path, "instances"), 1), (20, 40), (40, 40), (40, 40))


class TestYolo:
    def write(self, folder: Path, text: str, name: str = "a") -> None:
        picture(folder / "images" / "val" / f"{name}.png")
        (folder / "labels" / "val").mkdir(parents=True, exist_ok=True)
        (folder / "labels" / "val" / f"{name}.txt").write_text(text)

    def test_fractions_become_pixels(self, tmp_path: Path) -> None:
        self.write(tmp_path, "1 0.5 0.5 0.5 0.2\n\n0 0.25 0.5 0.1 1.0\n")
        picture(tmp_path / "images" / "val" / "empty.png")
        for place in (tmp_path, tmp_path / "images" / "val"):
            found = read(place)
            assert found.layout == "yolo"
            assert objects(found, 0).classes.tolist() == [1, 0]
            np.testing.assert_allclose(objects(found, 0).boxes, [[10, 8, 30, 12], [8, 0, 12, 20]])
            assert len(objects(found, 1)) == 0
            assert found.notes[0] == "1 of 2 pictures have no file of labels: nothing in them"

    def test_outlines_and_keypoints(self, tmp_path: Path) -> None:
        self.write(tmp_path, "2 0.1 0.1 0.5 0.1 0.5 0.9\n")
        marked = objects(read(tmp_path, "instances"), 0)
        np.testing.assert_allclose(marked.boxes, [[4, 2, 20, 18]])
        np.testing.assert_allclose(marked.outlines[0].polygons, [[4, 2, 20, 2, 20, 18]])
        self.write(tmp_path, "0 0.5 0.5 0.5 0.5 0.5 0.5 2 0 0 0\n")
        pose = replace(meaning("pose"), layout=Layout(keypoints=(2, 3)))
        keypoints = objects(accuracy.read(tmp_path, pose, NAMES), 0).keypoints
        assert keypoints is not None
        assert keypoints.tolist() == [[[20, 10, 2], [0, 0, 0]]]

    def test_names_in_data_yaml_must_be_the_models(self, tmp_path: Path) -> None:
        self.write(tmp_path, "1 0.5 0.5 0.5 0.2\n")
        (tmp_path / "data.yaml").write_text("names: {0: Cat, 1: dog, 2: traffic-light}\n")
        assert len(read(tmp_path)) == 1
        assert read(tmp_path / "images" / "val", names=()).names == ("Cat", "dog", "traffic-light")
        (tmp_path / "data.yaml").write_text("names: [cat, bird]\n")
        with pytest.raises(ValidationSetError, match='class 1 is "bird", the model has "dog"'):
            read(tmp_path)
        (tmp_path / "data.yaml").write_text("names: [cat\n")
        with pytest.raises(ValidationSetError, match=r"data.yaml cannot be read: .*expected"):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("7 0.5 0.5 0.5 0.2", "a.txt:2: class 7; the model has classes 0 to 2"),
            ("-1 0.5 0.5 0.5 0.2", "a.txt:2: class -1"),
            ("1 120 45 30 20", "a.txt:2: 120 is no fraction of a picture; YOLO's numbers are 0 to 1"),
            ("cat 0.5 0.5 0.5 0.2", 'a.txt:2: "cat 0.5 0.5 0.5 0.2" is not a class and numbers'),
            ("1 0.5 0.5 0.5", "a.txt:2: 4 numbers; a box has 5"),
            ("1 0.5 0.5 0.5 0.2 0.3", "a.txt:2: 6 numbers; a box has 5"),
        ],
    )
    def test_a_wrong_line_is_told_with_its_number(self, tmp_path: Path, line: str, said: str) -> None:
        self.write(tmp_path, f"1 0.5 0.5 0.5 0.2\n{line}\n")
        with pytest.raises(ValidationSetError, match=said):
            read(tmp_path)


class TestFolders:
    def write(self, folder: Path, *names: str) -> None:
        for level, name in enumerate(names):
            for index in range(2):
                picture(folder / name / f"{index}.png", level=level * 10 + index)

    def test_names_find_their_classes(self, tmp_path: Path) -> None:
        self.write(tmp_path, "Traffic Light", "cat")
        found = read(tmp_path, "classify")
        assert (found.layout, found.truth) == ("folders", (2, 2, 0, 0))
        assert "1 of 3 classes are in no validation picture" in found.notes[0]

    def test_numbers_are_classes(self, tmp_path: Path) -> None:
        self.write(tmp_path, "0", "2")
        assert read(tmp_path, "classify", names=()).truth == (0, 0, 2, 2)
        self.write(tmp_path, "3")
        with pytest.raises(ValidationSetError, match="class 3; the model has classes 0 to 2"):
            read(tmp_path, "classify")

    def test_as_many_folders_as_classes_are_in_order(self, tmp_path: Path) -> None:
        self.write(tmp_path, "n01440764", "n01443537", "n01484850")
        found = read(tmp_path, "classify")
        assert found.truth == (0, 0, 1, 1, 2, 2)
        assert "in alphabetical order, as torchvision's ImageFolder does" in found.notes[0]

    def test_other_names_are_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, "bird", "cat", "dog")
        with pytest.raises(ValidationSetError, match='class 0 of the validation set is "bird", the model has "cat"'):
            read(tmp_path, "classify")
        with pytest.raises(ValidationSetError, match=r"has 3 folders of classes \(bird, cat, dog\), the model has 9"):
            read(tmp_path, "classify", names=(), classes=9)


class TestMasks:
    def write(self, folder: Path, values: Any, name: str = "a") -> None:
        array = np.asarray(values, np.uint8)
        picture(folder / "images" / f"{name}.png", array.shape[1], array.shape[0])
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(array).save(folder / "masks" / f"{name}.png")

    def test_pairs_are_found(self, tmp_path: Path) -> None:
        self.write(tmp_path, np.zeros((20, 40)))
        picture(tmp_path / "images" / "alone.png")
        found = read(tmp_path, "segment")
        assert (found.layout, found.truth) == ("masks", (tmp_path / "masks" / "a.png",))
        assert found.notes == ("1 of 2 pictures have no mask and are left out",)

    def test_sizes_must_be_equal(self, tmp_path: Path) -> None:
        self.write(tmp_path, np.zeros((20, 40)))
        picture(tmp_path / "images" / "a.png", 80, 40)
        with pytest.raises(ValidationSetError, match=r"masks/a.png has 40x20 pixels, its picture a.png 80x40"):
            read(tmp_path, "segment")

    def test_no_pair_at_all(self, tmp_path: Path) -> None:
        self.write(tmp_path, np.zeros((20, 40)))
        (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "b.png")
        with pytest.raises(ValidationSetError, match=r"none of the 1 pictures .*first: a.png"):
            read(tmp_path, "segment")

    def test_a_class_that_there_is_not(self, tmp_path: Path) -> None:
        self.write(tmp_path, np.full((20, 40), 5))
        with pytest.raises(ValidationSetError, match=r"masks/a.png: a pixel has class 5, the model has 0 to 2"):
            _masks.read(tmp_path / "masks" / "a.png", (40, 40), (40, 40), 3)

    def test_a_mask_lies_where_its_picture_does(self, tmp_path: Path) -> None:
        """A bright half of the picture, letterboxed, is the marked half of the mask."""
        pixels = np.zeros((30, 50, 3), np.uint8)
        pixels[:, 25:] = 255
        Image.fromarray(pixels).save(tmp_path / "picture.png")
        Image.fromarray((pixels[:, :, 0] > 0).astype(np.uint8)).save(tmp_path / "mask.png")
        frame = read_image(tmp_path / "picture.png", (100, 100), 3)[:, :, 0]
        mask = _masks.read(tmp_path / "mask.png", (100, 100), (100, 100), 3)
        assert (mask == -1).sum() == 40 * 100
        assert (frame[mask == 1] > 120).all()
        assert (frame[mask == 0] < 130).all()
        coarse = _masks.read(tmp_path / "mask.png", (100, 100), (25, 25), 3)
        assert (coarse == mask[2::4, 2::4]).mean() > 0.95

    def test_255_is_one_in_a_mask_of_two(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[0, 255]], np.uint8).repeat(2, 0)).save(tmp_path / "mask.png")
        assert _masks.read(tmp_path / "mask.png", (2, 2), (2, 2), 2).tolist() == [[0, 1], [0, 1]]
        assert _masks.read(tmp_path / "mask.png", (2, 2), (2, 2), 3).tolist() == [[0, -1], [0, -1]]


class TestAnyFolder:
    def test_without_labels_it_is_said(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        found = read(tmp_path)
        assert (found.layout, found.truth) == ("unlabelled", None)
        assert (
            "has 1 pictures and no labels that were found: measured is the agreement with the FP32 model"
            in found.notes[0]
        )

    @pytest.mark.parametrize("task", ["detect", "classify", "segment", "raw"])
    def test_an_empty_folder_is_refused(self, tmp_path: Path, task: str) -> None:
        with pytest.raises(InputsError, match="holds no images"):
            read(tmp_path, task)

    def test_what_is_not_there_is_told_with_what_could_be(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValidationSetError, match=r"no such file or folder; give a COCO file .*, a folder with images/"
        ):
            read(tmp_path / "nowhere")
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(
            ValidationSetError, match=r"notes.txt is no validation set for the task detect; give a COCO"
        ):
            read(tmp_path / "notes.txt")

    def test_pictures_that_are_none_are_counted(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        for name in ("b.png", "c.png"):
            (tmp_path / name).write_bytes(b"no picture")
        with pytest.raises(
            ValidationSetError, match=r"2 of 3 validation pictures cannot be read \(first: .*b.png: no pic"
        ):
            read(tmp_path)

    def test_a_picture_that_ends_early_is_told_when_it_is_shown(self, tmp_path: Path) -> None:
        path = picture(tmp_path / "a.png", 400, 400)
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:20_000])
        with pytest.raises(ValidationSetError, match=r"a.png is no image that can be read: .*put a whole one there"):
            list(read(tmp_path).feeds(signature()))

    def test_a_part_of_a_set(self, tmp_path: Path) -> None:
        coco(tmp_path)
        picture(tmp_path / "images" / "a.png", level=1)
        found = read(tmp_path)
        part = found.only(frozenset({found.pictures[1].digest}))
        assert (len(part), part.digest != found.digest) == (1, True)
        assert objects(part, 0) is objects(found, 1)
        with pytest.raises(ValidationSetError, match="none of these"):
            found.only(frozenset({"other"}))

    def test_the_digest_is_that_of_pictures_and_labels(self, tmp_path: Path) -> None:
        coco(tmp_path)
        digests = {read(tmp_path).digest, read(tmp_path).digest}
        picture(tmp_path / "images" / "a.png", level=33)
        digests.add(read(tmp_path).digest)
        coco(tmp_path, info="another")
        digests.add(read(tmp_path).digest)
        digests.add(read(tmp_path, names=("cat", "dog", "traffic light"[:-1] + "t")).digest)
        assert len(digests) == 3


def signature(height: int = 32, width: int = 48, dtype: DataType = DataType.UINT8) -> Signature:
    frame = Tensor(name="images", dtype=dtype, shape=(-1, height, width, 3))
    return Signature(inputs=(frame,), outputs=(frame,))


def test_frames_are_those_of_a_camera(tmp_path: Path) -> None:
    coco(tmp_path)
    found = read(tmp_path)
    batches = list(found.feeds(signature(), 3))
    assert [batch["images"].shape for batch in batches] == [(2, 32, 48, 3)]
    for frame, one in zip(batches[0]["images"], found.pictures, strict=True):
        assert (frame == read_image(one.path, (32, 48), 3)).all()
    with pytest.raises(ValidationSetError, match=r"takes UINT8 frames .* this one takes images FP32\[-1, 32, 48, 3\]"):
        list(found.feeds(signature(dtype=DataType.FP32)))


@settings(max_examples=25, deadline=None)
@given(source=st.tuples(st.integers(20, 200), st.integers(20, 200)), data=st.data())
def test_boxes_move_with_their_pixels(
    source: tuple[int, int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A white box in a black picture is where the moved box says it is, in the frame that ``read_image`` makes."""
    height, width = source
    frame = data.draw(st.tuples(st.integers(64, 160), st.integers(64, 160)))
    x1, y1 = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    x2, y2 = data.draw(st.integers(x1 + 8, width)), data.draw(st.integers(y1 + 8, height))
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y1:y2, x1:x2] = 255
    path = tmp_path_factory.mktemp("box") / "a.png"
    Image.fromarray(pixels).save(path)
    seen = read_image(path, frame, 3)[:, :, 0].astype(np.float64)
    seen[seen == 114] = 0  # around the picture
    moved = _boxes.to_frame(np.array([[x1, y1, x2, y2]], np.float64), _boxes.letterbox(source, frame))[0]
    middle = [(seen.sum(axis=a) * (np.arange(frame[1 - a]) + 0.5)).sum() / seen.sum() for a in (0, 1)]
    assert middle[0] == pytest.approx((moved[0] + moved[2]) / 2, abs=1)
    assert middle[1] == pytest.approx((moved[1] + moved[3]) / 2, abs=1)
    assert seen.sum() / 255 == pytest.approx((moved[2] - moved[0]) * (moved[3] - moved[1]), rel=0.25)


@settings(max_examples=60, deadline=None)
@given(
    content=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["images", "annotations", "categories", "id", "bbox", "name"]), x)
        ),
        max_leaves=12,
    )
)
def test_no_json_is_answered_with_a_traceback(content: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "annotations.json").write_text(json.dumps(content))
    picture(folder / "images" / "a.png")
    with pytest.raises(KitError):
        read(folder / "annotations.json")
