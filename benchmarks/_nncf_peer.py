"""NNCF's own way to INT8 with a budget, on the same model and pictures; run by ``precision.py`` in NNCF's environment.

    python _nncf_peer.py TWIN.xml CALIBRATION_FOLDER TEST_FOLDER OUT.xml

TWIN is the kit's IR of the served digits detector with its score threshold at 0.001. Needs nncf, openvino, onnx,
pycocotools, pillow, rich, onnxruntime and opencv-python-headless. Prints a line of JSON: how many seconds it took.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

Array = Any


def _frame(path: Path) -> Array:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"), np.uint8)[None]


def main() -> None:
    """Quantise with NNCF's accuracy control: at most one point of mAP50-95."""
    import nncf
    import openvino
    from pycocotools.coco import COCO

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from examples.digits import evaluate

    model, calibration, test, out = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(Path(test) / "annotations.json"))
    pictures = [_frame(path) for path in sorted(Path(calibration).glob("*.jpg"))]
    labelled = [(i, _frame(Path(test) / "images" / truth.imgs[i]["file_name"])) for i in sorted(truth.imgs)]

    def validate(compiled: Any, items: Iterable[tuple[int, Array]]) -> tuple[float, None]:
        rows: list[dict[str, object]] = []
        seen = []
        for index, frame in items:
            given = {port.any_name: value for port, value in compiled([frame]).items()}
            count = int(given["num"][0, 0])
            found = evaluate.Detections(
                boxes=given["boxes"][0, :count], scores=given["scores"][0, :count], labels=given["classes"][0, :count]
            )
            rows += evaluate.coco_rows(index, found)
            seen.append(index)
        return evaluate.accuracy_of(truth, rows, seen).map50_95 if rows else 0.0, None

    start = time.perf_counter()
    made = nncf.quantize_with_accuracy_control(
        openvino.Core().read_model(model),
        nncf.Dataset(pictures),
        nncf.Dataset(labelled),
        validation_fn=validate,
        max_drop=0.01,
        drop_type=nncf.DropType.ABSOLUTE,
        ignored_scope=nncf.IgnoredScope(patterns=["detect/.*"]),
    )
    seconds = time.perf_counter() - start
    openvino.save_model(made, out, compress_to_fp16=False)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
