"""The digit example: scenes, data sets, the committed model and its accuracy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn has the digits; install the dev extra")
pytest.importorskip("skimage", reason="scikit-image has the photographs; install the dev extra")
cv2 = pytest.importorskip("cv2", reason="OpenCV reads JPEG and video; install the camera extra")

from examples.digits import data, jpeg  # noqa: E402
from examples.digits.materials import PHOTOGRAPHS, Split, sample_rows  # noqa: E402
from examples.digits.scenes import (  # noqa: E402
    DIGIT_HEIGHT_PX,
    Hand,
    Layout,
    Scene,
    render_ink,
    scene,
    scenes,
)

FOLDER = Path(data.__file__).parent
REPOSITORY = FOLDER.parents[1]
ANNOTATIONS = json.loads((FOLDER / "test" / "annotations.json").read_text(encoding="utf-8"))
MAP_FLOOR = 0.6


def same(first: Scene, second: Scene) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("image", "boxes", "labels"))


class TestScenes:
    def test_a_seed_gives_the_same_scene_whatever_was_drawn_before(self):
        third = list(scenes(Split.TEST, 3, seed=5))[2]
        assert same(third, scene(Split.TEST, 2, seed=5))

    @pytest.mark.parametrize("other", [{"seed": 6}, {"seed": 5, "index": 1}, {"seed": 5, "split": Split.TRAIN}])
    def test_another_seed_index_or_split_gives_another_scene(self, other):
        first = scene(Split.TEST, 0, seed=5)
        assert not same(first, scene(other.get("split", Split.TEST), other.get("index", 0), seed=other["seed"]))

    @pytest.mark.parametrize("split", Split)
    def test_boxes_lie_in_the_image_and_labels_are_digits(self, split):
        for drawn in scenes(split, 20, seed=11):
            assert drawn.image.shape == (320, 320, 3)
            assert drawn.image.dtype == np.uint8
            assert 1 <= len(drawn.boxes) == len(drawn.labels) <= 8
            assert (drawn.boxes >= 0).all()
            assert (drawn.boxes <= 320).all()
            assert (drawn.boxes[:, 2:] - drawn.boxes[:, :2] >= 4).all()
            assert set(drawn.labels) <= set(range(10))

    def test_a_layout_sets_size_and_count(self):
        drawn = scene(Split.TRAIN, 0, seed=1, layout=Layout(size_px=256, digits=(3, 3)))
        assert drawn.image.shape == (256, 256, 3)
        assert len(drawn.labels) == 3

    @pytest.mark.parametrize("height_px", DIGIT_HEIGHT_PX)
    def test_ink_is_cropped_to_what_is_visible_and_about_as_high_as_asked(self, height_px):
        glyph = np.zeros((8, 8), dtype=np.float32)
        glyph[:, 3:5] = 1
        ink = render_ink(glyph, height_px, Hand())
        assert ink.shape[0] == pytest.approx(height_px, rel=0.2)
        for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]):
            assert edge.max() >= 0.35


class TestSplits:
    @pytest.mark.parametrize(("first", "second"), list(combinations(Split, 2)))
    def test_no_digit_and_no_photograph_serves_two_splits(self, first, second):
        assert not set(sample_rows(first)) & set(sample_rows(second))
        assert not set(PHOTOGRAPHS[first]) & set(PHOTOGRAPHS[second])

    def test_every_digit_is_used(self):
        assert sorted(np.concatenate([sample_rows(split) for split in Split])) == list(range(1797))


class TestDataSets:
    def test_every_test_image_is_annotated_and_has_the_size_that_is_said(self):
        names = sorted(file.name for file in (FOLDER / "test" / "images").iterdir())
        assert [image["file_name"] for image in ANNOTATIONS["images"]] == names
        assert len(names) == 300
        for image in ANNOTATIONS["images"][::20]:
            pixels = jpeg.decode((FOLDER / "test" / "images" / image["file_name"]).read_bytes())
            assert pixels.shape == (image["height"], image["width"], 3)

    def test_annotations_are_sound(self):
        images = {image["id"]: image for image in ANNOTATIONS["images"]}
        rows = ANNOTATIONS["annotations"]
        assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
        assert {row["image_id"] for row in rows} == set(images)
        for row in rows:
            left, top, width, height = row["bbox"]
            image = images[row["image_id"]]
            assert 0 <= left < left + width <= image["width"]
            assert 0 <= top < top + height <= image["height"]
            assert row["area"] == width * height

    def test_categories_are_the_digits_and_the_labels_file_agrees(self):
        assert ANNOTATIONS["categories"] == [{"id": digit, "name": str(digit)} for digit in range(10)]
        assert (FOLDER / "labels.txt").read_text(encoding="utf-8").split() == [str(digit) for digit in range(10)]
        assert {row["category_id"] for row in ANNOTATIONS["annotations"]} == set(range(10))

    def test_the_committed_images_are_those_of_the_seed(self):
        drawn = list(scenes(Split.TEST, 4, seed=data.SEED))
        again = data.coco_document([f"{index:05}.jpg" for index in range(4)], drawn)["annotations"]
        assert again == ANNOTATIONS["annotations"][: len(again)]
        for index, each in enumerate(drawn):
            committed = jpeg.decode((FOLDER / "test" / "images" / f"{index:05}.jpg").read_bytes())
            assert np.abs(committed.astype(int) - each.image).mean() < 6

    def test_there_are_320_calibration_images_of_the_right_size(self):
        files = sorted((FOLDER / "calibration").glob("*.jpg"))
        assert len(files) == 320
        assert all(jpeg.decode(file.read_bytes()).shape == (320, 320, 3) for file in files[::40])

    def test_the_video_plays(self):
        capture = cv2.VideoCapture(str(FOLDER / "video.mp4"))
        frames = []
        while (read := capture.read())[0]:
            frames.append(read[1])
        assert len(frames) == 105
        assert capture.get(cv2.CAP_PROP_FPS) == 15
        assert {frame.shape for frame in frames} == {(480, 640, 3)}
        assert np.abs(frames[0].astype(int) - frames[50]).mean() > 3

    def test_everything_together_is_small(self):
        weights = [FOLDER / "digits.onnx", FOLDER / "digits.safetensors"]
        assert sum(file.stat().st_size for file in weights) < 3_000_000
        assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 16_000_000


def test_jpeg_refuses_what_is_no_image():
    with pytest.raises(ValueError, match="3 bytes that are not an image"):
        jpeg.decode(b"abc")


class TestModel:
    @pytest.mark.parametrize("batch", [1, 2, 8])
    def test_the_committed_model_answers_like_the_network(self, batch):
        torch = pytest.importorskip("torch", reason="torch runs the network; install the torch extra")
        onnxruntime = pytest.importorskip("onnxruntime")
        from examples.digits.network import detector

        session = onnxruntime.InferenceSession(FOLDER / "digits.onnx", providers=["CPUExecutionProvider"])
        files = sorted((FOLDER / "test" / "images").glob("*.jpg"))[:batch]
        pixels = np.stack([jpeg.decode(file.read_bytes()) for file in files])
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / 255
        (answer,) = session.run(["output0"], {"images": images})
        with torch.inference_mode():
            expected = detector()(torch.from_numpy(images)).numpy()
        assert answer.shape == (batch, 14, 2100)
        np.testing.assert_allclose(answer[:, :4], expected[:, :4], rtol=1e-4, atol=1e-2)  # pixels
        np.testing.assert_allclose(answer[:, 4:], expected[:, 4:], rtol=1e-4, atol=1e-4)  # probabilities

    def test_the_committed_model_is_described_and_holds_no_notes_of_the_exporter(self):
        onnx = pytest.importorskip("onnx")
        model = onnx.load(FOLDER / "digits.onnx")
        assert {prop.key: prop.value for prop in model.metadata_props} == {
            "imgsz": "[320, 320]",
            "names": str({digit: str(digit) for digit in range(10)}),
            "stride": "32",
            "task": "detect",
        }
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        for value, name, tail in (
            (model.graph.input[0], "images", [3, 320, 320]),
            (model.graph.output[0], "output0", [14, 2100]),
        ):
            sizes = value.type.tensor_type.shape.dim
            assert value.name == name
            assert [sizes[0].dim_param, *(size.dim_value for size in sizes[1:])] == ["batch", *tail]
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
        assert b"site-packages" not in (FOLDER / "digits.onnx").read_bytes()

    @pytest.mark.slow
    def test_exporting_again_from_another_folder_gives_the_same_bytes(self, tmp_path):
        pytest.importorskip("torch", reason="torch exports the network; install the torch extra")
        recorded = json.loads((FOLDER / "digits.onnx.json").read_text(encoding="utf-8"))["versions"]
        installed = {name: version(name).partition("+")[0] for name in recorded}
        if installed != recorded:
            pytest.skip(f"the committed model was exported with {recorded}, here are {installed}")
        program = "from pathlib import Path; from examples.digits.export import export; export(Path('again.onnx'))"
        paths = {"PYTHONPATH": str(REPOSITORY), "PATH": str(Path(sys.executable).parent), "HOME": str(tmp_path)}
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=paths, check=True, capture_output=True)
        assert (tmp_path / "again.onnx").read_bytes() == (FOLDER / "digits.onnx").read_bytes()

    def test_missing_weights_are_named(self, tmp_path, monkeypatch):
        pytest.importorskip("torch", reason="torch runs the network; install the torch extra")
        from examples.digits import network

        monkeypatch.setattr(network, "WEIGHTS_PATH", tmp_path / "absent.safetensors")
        with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
            network.detector()


class TestAccuracy:
    @pytest.fixture(autouse=True)
    def _needs_cocoeval(self):
        pytest.importorskip("pycocotools", reason="pycocotools computes mAP; install the dev extra")

    def test_map_on_sixty_images_is_above_the_floor(self):
        from rich.console import Console

        from examples.digits.evaluate import OnnxDetector, evaluate

        accuracy = evaluate(OnnxDetector(), FOLDER / "test", Console(quiet=True), limit=60)
        assert accuracy.images == 60
        assert MAP_FLOOR < accuracy.map50_95 < accuracy.map50 <= 1
        assert len(accuracy.per_class) == 10

    def test_perfect_detections_have_a_map_of_one(self, tmp_path):
        from rich.console import Console

        from examples.digits import evaluate

        class Oracle:
            """Reads the answers from the annotations, image by image."""

            def __init__(self):
                self.image_id = 0

            def detect(self, image):
                self.image_id += 1
                rows = [row for row in ANNOTATIONS["annotations"] if row["image_id"] == self.image_id]
                boxes = np.array([row["bbox"] for row in rows], dtype=np.float32)
                boxes[:, 2:] += boxes[:, :2]
                labels = np.array([row["category_id"] for row in rows])
                return evaluate.Detections(boxes=boxes, scores=np.ones(len(rows), dtype=np.float32), labels=labels)

        (tmp_path / "images").mkdir()
        shutil.copy(FOLDER / "test" / "annotations.json", tmp_path)
        for image in ANNOTATIONS["images"][:30]:
            shutil.copy(FOLDER / "test" / "images" / image["file_name"], tmp_path / "images")
        accuracy = evaluate.evaluate(Oracle(), tmp_path, Console(quiet=True), limit=30)
        assert accuracy.map50_95 == pytest.approx(1.0)

    def test_suppression_is_greedy_and_within_a_class(self):
        from examples.digits.evaluate import Detections, suppress

        found = Detections(
            boxes=np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60]], dtype=np.float32),
            scores=np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32),
            labels=np.array([3, 3, 8, 3]),
        )
        assert suppress(found, 0.65, 300).scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
        assert suppress(found, 0.65, 2).scores.tolist() == pytest.approx([0.9, 0.7])
        assert suppress(found, 0.95, 300).scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])

    def test_candidates_come_best_first_in_corners(self):
        from examples.digits.evaluate import candidates

        output = np.zeros((14, 3), dtype=np.float32)
        output[:4] = np.array([[10], [20], [4], [8]])
        output[4 + 7, 0], output[4 + 1, 2] = 0.5, 0.9
        found = candidates(output, 0.001)
        assert found.labels.tolist() == [1, 7]
        assert found.boxes[0].tolist() == [8, 16, 12, 24]


class TestLoss:
    def test_assignment_prefers_points_that_answer_well_and_never_shares_them(self):
        torch = pytest.importorskip("torch", reason="the loss is torch's; install the torch extra")
        from examples.digits.loss import Truth, assign
        from examples.digits.network import anchor_grid

        anchors = anchor_grid(320)[0].T
        boxes = torch.tensor([[[40.0, 40.0, 80.0, 90.0], [60.0, 40.0, 100.0, 90.0], [0.0, 0.0, 0.0, 0.0]]])
        truth = Truth(boxes=boxes, labels=torch.tensor([[3, 7, 0]]), present=torch.tensor([[True, True, False]]))
        guesses = torch.cat((anchors - 22, anchors + 22), dim=1)[None]
        wanted = assign(torch.full((1, len(anchors), 10), 0.1), guesses, anchors, truth)
        assert 2 <= int(wanted.positive.sum()) <= 20
        assert wanted.qualities[~wanted.positive].abs().max() == 0
        assert (wanted.qualities[wanted.positive] > 0).sum(dim=-1).max() == 1
        assert set(wanted.qualities[wanted.positive].argmax(dim=-1).tolist()) == {3, 7}

    def test_complete_iou_is_one_for_equal_boxes_and_negative_for_distant_ones(self):
        torch = pytest.importorskip("torch", reason="the loss is torch's; install the torch extra")
        from examples.digits.loss import complete_iou

        box = torch.tensor([10.0, 10.0, 30.0, 50.0])
        assert complete_iou(box, box).item() == pytest.approx(1.0)
        assert complete_iou(box, box + 200).item() < 0
