"""Send pictures and a video to a detector on a Triton server; print, draw and time what comes back.

In two terminals, after ``kit generate examples/digits/digits.onnx``::

    kit serve model_repository
    python clients/demo.py --url localhost:8001 --model digits --labels model_repository/digits/labels.txt
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import cv2
import numpy as np
from detector import Answer, Detection, Detector, DetectorError
from drawing import annotate, caption, contact_sheet, label_of, read_labels, to_frame
from letterbox import Frame
from PIL import Image, UnidentifiedImageError
from timing import Timing, table

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "digits"
CELL = 360
"""Width of a picture on the contact sheet, pixels."""


class InputError(Exception):
    """A file cannot be used; the message is one line for the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; a mistake of the user becomes one line and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        run(options)
    except (DetectorError, InputError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Do everything once."""
    labels = _labels(options.labels)
    pictures = image_files(options.images, options.count)
    detector = Detector(options.url, options.model)
    print(f"{options.model} at {options.url} takes frames of {detector.width} x {detector.height}\n")
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        sheet = show_images(detector, pictures, labels, options.score)
        sheet.save(options.output / "images.jpg", quality=75)
        answers = time_video(detector, options.video, options.in_flight)
    finally:
        detector.close()
    record_video(options.video, answers, labels, options.score, options.output / "video.mp4")
    print(f"\nwrote {options.output / 'images.jpg'} and {options.output / 'video.mp4'}")


def show_images(detector: Detector, files: Sequence[Path], labels: Sequence[str], score: float) -> Image.Image:
    """Send pictures one after another, print what is in them, and return them on a sheet."""
    print("image          class  confidence  box: x1, y1, x2, y2 in pixels")
    cells, total = [], 0
    for file in files:
        frame = read_image(file)
        detections = _sure(detector.detect(frame), score)
        total += len(detections)
        print("\n".join(_lines(file.name, detections, labels)))
        cells.append((file.name, annotate(frame, detections, labels, zoom=CELL / frame.shape[1])))
    print(f"{len(files)} images, {total} detections\n")
    return contact_sheet(cells)


def time_video(detector: Detector, video: Path, in_flight: int) -> tuple[Answer, ...]:
    """Send a video twice, one frame at a time and several; print how fast that was; return the answers."""
    timings = []
    for depth in sorted({1, in_flight}):
        start = time.perf_counter()
        answers = tuple(stream(detector, read_video(video), depth))
        seconds = time.perf_counter() - start
        timings.append(Timing(in_flight=depth, latencies_ms=tuple(a.latency_ms for a in answers), seconds=seconds))
    print(f"{video.name}: {len(answers)} frames, decoded, sent and answered\n{table(timings)}")
    return answers


def stream(detector: Detector, frames: Iterable[Frame], in_flight: int) -> Iterator[Answer]:
    """Yield the answers in the frames' order, with at most ``in_flight`` requests under way."""
    waiting: deque[Future[Answer]] = deque()
    for frame in frames:
        if len(waiting) == in_flight:
            yield waiting.popleft().result()
        waiting.append(detector.send(frame))
    while waiting:
        yield waiting.popleft().result()


def record_video(video: Path, answers: Sequence[Answer], labels: Sequence[str], score: float, output: Path) -> None:
    """Write the video again with what was found in each frame. MPEG-4 Part 2: every build of OpenCV writes it."""
    rate = _opened(video).get(cv2.CAP_PROP_FPS) or 25.0
    writer: cv2.VideoWriter | None = None
    for frame, answer in zip(read_video(video), answers, strict=False):
        detections = _sure(answer.detections, score)
        drawn = caption(annotate(frame, detections, labels), f"{len(detections)} found   {answer.latency_ms:.0f} ms")
        if writer is None:
            writer = cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), rate, drawn.size)
        writer.write(cv2.cvtColor(to_frame(drawn), cv2.COLOR_RGB2BGR))
    if writer is None or not writer.isOpened():
        raise InputError(f"{output} cannot be written")
    writer.release()


def image_files(folder: Path, count: int) -> list[Path]:
    """Return the first pictures of a folder by name. Raises ``InputError`` where there is none."""
    found = sorted(f for f in folder.glob("*") if f.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not found:
        raise InputError(f"no .jpg or .png in {folder}; choose another folder with --images")
    return found[:count]


def read_image(file: Path) -> Frame:
    """Return a picture as [H, W, 3] uint8, RGB."""
    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{file} is not a picture that can be read") from error


def read_video(file: Path) -> Iterator[Frame]:
    """Yield a video's frames as [H, W, 3] uint8, RGB. Raises ``InputError`` where there is none."""
    capture = _opened(file)
    while True:
        more, frame = capture.read()
        if not more:
            break
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    capture.release()


def _opened(file: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(file))
    if not file.exists() or not capture.isOpened():
        raise InputError(f"{file} is not a video that can be read; choose another with --video")
    return capture


def _labels(file: Path | None) -> tuple[str, ...]:
    try:
        return read_labels(file) if file else ()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not a file of class names, one a line") from error


def _lines(name: str, detections: Sequence[Detection], labels: Sequence[str]) -> Iterator[str]:
    for first, detection in zip([name, *[""] * len(detections)], detections, strict=False):
        box = "  ".join(f"{value:5.1f}" for value in detection.box)
        yield f"{first:14s} {label_of(detection, labels):>5s}  {detection.score:10.2f}  {box}"
    if not detections:
        yield f"{name:14s}  none"


def _sure(detections: Sequence[Detection], score: float) -> list[Detection]:
    return [detection for detection in detections if detection.score >= score]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="localhost:8001", help="the server's gRPC address (default: %(default)s)")
    parser.add_argument("--model", default="digits", help="the model's name (default: %(default)s)")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="class names: labels.txt in the model's folder")
    parser.add_argument("--images", type=Path, metavar="DIR", default=EXAMPLE / "test" / "images")
    parser.add_argument("--count", type=int, default=12, help="how many of the images (default: %(default)s)")
    parser.add_argument("--video", type=Path, metavar="FILE", default=EXAMPLE / "video.mp4")
    parser.add_argument("--score", type=float, default=0.5, help="show detections from here on (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=4, help="requests under way at once (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="DIR", default=Path("out"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
