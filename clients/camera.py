"""One camera: print what the model sees, as it sees it. Copy it, and do something better than to print.

kit serve model_repository
python clients/camera.py examples/digits/video.mp4 --model digits
"""

from __future__ import annotations

import argparse
import sys

from kit.errors import KitError
from kit.stream.results import Detections
from kit.stream.sinks.interface import Emission
from kit.stream.watch import watch


def on_detections(seen: Emission) -> None:
    """Print a line for each object. Boxes are x1, y1, x2, y2 in pixels of the camera's own frame."""
    frame, found = seen.result.frame, seen.result.output
    if not isinstance(found, Detections):
        raise TypeError(f"this program is for detectors; {seen.result.model} gives {type(found).__name__}")
    for class_id, score, box in zip(found.classes.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True):
        name = seen.labels[class_id] if class_id < len(seen.labels) else str(class_id)
        print(f"{frame.camera} {frame.number:5d}  {name:>10s} {score:.2f}  {[round(value) for value in box]}")


def main() -> int:
    """Stream until the video ends, or Ctrl-C; then the totals are printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="rtsp://user:password@host/path, a file, /dev/video0, test://30fps ...")
    parser.add_argument("--model", required=True)
    parser.add_argument("--url", default="localhost:8001", help="the server's gRPC address (default: %(default)s)")
    options = parser.parse_args()
    try:
        watch(options.source, model=options.model, url=options.url, min_score=0.5, on_detections=on_detections)
    except KitError as error:
        print(f"camera: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
