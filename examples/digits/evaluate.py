"""COCO mAP of `digits.onnx` on the test set: `python -m examples.digits.evaluate`."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.progress import track
from rich.table import Table

from examples.digits import jpeg

FOLDER = Path(__file__).parent
CLASS_COUNT = 10
SCORE_FLOOR, IOU_LIMIT, MAX_DETECTIONS = 0.001, 0.65, 300


@dataclass(frozen=True, kw_only=True)
class Detections:
    """What was found in one image."""

    boxes: NDArray[np.float32]
    """`[D, 4]`, left, top, right, bottom in pixels."""
    scores: NDArray[np.float32]
    """`[D]`, falling."""
    labels: NDArray[np.int64]
    """`[D]`."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Average precision as COCO defines it, 0 to 1."""

    images: int
    map50_95: float
    map50: float
    per_class: tuple[float, ...]
    """mAP50-95 of each digit."""


def candidates(output: NDArray[np.float32], score_floor: float) -> Detections:
    """`output0` of one image, `[14, A]`, to all (point, class) pairs above the floor, best first."""
    points, labels = np.nonzero(score_floor < output[4:].T)
    scores = output[4:].T[points, labels]
    order = np.argsort(-scores, kind="stable")
    centres, halves = output[:2, points[order]].T, output[2:4, points[order]].T / 2
    return Detections(boxes=np.hstack((centres - halves, centres + halves)), scores=scores[order], labels=labels[order])


def suppress(found: Detections, iou_limit: float, limit: int) -> Detections:
    """Greedy non-maximum suppression within each class; the best `limit` detections that are left."""
    left, top, right, bottom = found.boxes.T
    areas = (right - left) * (bottom - top)
    alive = np.ones(len(found.scores), dtype=bool)
    kept: list[int] = []
    for index in range(len(alive)):
        if not alive[index] or len(kept) == limit:
            continue
        kept.append(index)
        width = np.minimum(right[index], right) - np.maximum(left[index], left)
        height = np.minimum(bottom[index], bottom) - np.maximum(top[index], top)
        common = width.clip(min=0) * height.clip(min=0)
        alive &= (common <= iou_limit * (areas[index] + areas - common)) | (found.labels != found.labels[index])
    return Detections(boxes=found.boxes[kept], scores=found.scores[kept], labels=found.labels[kept])


class OnnxDetector:
    """`digits.onnx` in ONNX Runtime on the processor."""

    def __init__(self, path: Path = FOLDER / "digits.onnx", threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def detect(self, image: NDArray[np.uint8], score_floor: float = SCORE_FLOOR) -> Detections:
        """Find the digits in an image `[320, 320, 3]` uint8, RGB."""
        images = np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32) / 255
        (output,) = self._session.run(["output0"], {"images": images})
        return suppress(candidates(output[0], score_floor), IOU_LIMIT, MAX_DETECTIONS)


def coco_rows(image_id: int, found: Detections) -> list[dict[str, object]]:
    """Detections as COCO's result format has them: left, top, width, height."""
    return [
        {
            "image_id": image_id,
            "category_id": int(label),
            "bbox": [float(edge) for edge in (*box[:2], *(box[2:] - box[:2]))],
            "score": float(score),
        }
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
    ]


def accuracy_of(truth: COCO, rows: Sequence[dict[str, object]], image_ids: Sequence[int]) -> Accuracy:
    """COCO's average precision of the rows, over these images only."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(list(rows)), "bbox")
        evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class], all sizes, 100 detections
    return Accuracy(
        images=len(image_ids),
        map50_95=_mean(precision),
        map50=_mean(precision[0]),
        per_class=tuple(_mean(precision[:, :, digit]) for digit in range(CLASS_COUNT)),
    )


def _mean(precision: NDArray[np.float64]) -> float:
    known = precision[precision > -1]  # -1 marks classes that the images do not show
    return float(known.mean()) if known.size else float("nan")


def evaluate(detector: OnnxDetector, folder: Path, console: Console, limit: int | None = None) -> Accuracy:
    """Accuracy on the first `limit` images of a COCO folder (`annotations.json`, `images/`), or on all."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "annotations.json"))
    image_ids = sorted(truth.imgs)[:limit]
    rows: list[dict[str, object]] = []
    for image_id in track(image_ids, "detecting", console=console, transient=True):
        image = jpeg.decode((folder / "images" / truth.imgs[image_id]["file_name"]).read_bytes())
        rows += coco_rows(image_id, detector.detect(image))
    return accuracy_of(truth, rows, image_ids)


def table_of(accuracy: Accuracy) -> Table:
    """The figures for people."""
    table = Table("digit", "mAP50-95", title=f"{accuracy.images} images", show_footer=False)
    for digit, value in enumerate(accuracy.per_class):
        table.add_row(str(digit), f"{value:.3f}")
    table.add_section()
    table.add_row("all", f"{accuracy.map50_95:.3f}", style="bold")
    table.add_row("all, IoU 0.50", f"{accuracy.map50:.3f}")
    return table


def main() -> None:
    """Parse the command line, evaluate, print a table or one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON and nothing else")
    parser.add_argument("--model", type=Path, default=FOLDER / "digits.onnx")
    parser.add_argument("--limit", type=int, help="only the first so many images")
    chosen = parser.parse_args()
    console = Console(quiet=chosen.json)
    accuracy = evaluate(OnnxDetector(chosen.model), FOLDER / "test", console, chosen.limit)
    console.print(table_of(accuracy))
    if chosen.json:
        print(json.dumps(asdict(accuracy)))


if __name__ == "__main__":
    main()
