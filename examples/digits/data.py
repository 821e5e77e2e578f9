"""Writes the data sets: `python -m examples.digits.data`.

`test/images/*.jpg` with `test/annotations.json` (COCO), `calibration/*.jpg`, `video.mp4` and `labels.txt`.
The same versions of NumPy, OpenCV, PyAV, scikit-learn and scikit-image give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from examples.digits import jpeg
from examples.digits.materials import Split
from examples.digits.scenes import SIZE_PX, Scene, scenes
from examples.digits.video import write_video

FOLDER = Path(__file__).parent
TEST_SCENES, CALIBRATION_SCENES = 300, 320
SEED = 7


def write_images(folder: Path, drawn: Sequence[Scene]) -> list[str]:
    """Write `00000.jpg` and so on; the names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:05}.jpg" for index in range(len(drawn))]
    for name, each in zip(names, drawn, strict=True):
        (folder / name).write_bytes(jpeg.encode(each.image))
    return names


def coco_document(names: Sequence[str], drawn: Sequence[Scene]) -> dict[str, object]:
    """The scenes as a COCO detection file. Categories have the digits' own numbers, 0 to 9; other ids start at 1.

    Boxes are left, top, width, height in pixels.
    """
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, (name, each) in enumerate(zip(names, drawn, strict=True), start=1):
        images.append({"id": image_id, "file_name": name, "width": SIZE_PX, "height": SIZE_PX})
        for box, label in zip(each.boxes, each.labels, strict=True):
            left, top, right, bottom = (int(edge) for edge in box)
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(label),
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": digit, "name": str(digit)} for digit in range(10)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_all(folder: Path, console: Console) -> None:
    """Write every data set under `folder`."""
    test = list(track(scenes(Split.TEST, TEST_SCENES, seed=SEED), "test", TEST_SCENES, console=console))
    names = write_images(folder / "test" / "images", test)
    document = json.dumps(coco_document(names, test), separators=(",", ":"))
    (folder / "test" / "annotations.json").write_text(document + "\n", encoding="utf-8")
    drawn = scenes(Split.CALIBRATION, CALIBRATION_SCENES, seed=SEED)
    write_images(folder / "calibration", list(track(drawn, "calibration", CALIBRATION_SCENES, console=console)))
    write_video(folder / "video.mp4", seed=SEED)
    (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)), encoding="utf-8")
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in {".jpg", ".json", ".mp4"})
    console.print(f"wrote {TEST_SCENES} + {CALIBRATION_SCENES} images and a video, {size_bytes / 1e6:.1f} MB")


def main() -> None:
    """Write the data sets beside this file."""
    write_all(FOLDER, Console())


if __name__ == "__main__":
    main()
