"""Two models: a detector finds, and a classifier looks at each find by itself.

kit serve model_repository
python clients/cascade.py examples/digits/video.mp4 --model detector --then classifier
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import numpy.typing as npt

from kit.errors import KitError
from kit.stream import words
from kit.stream.asking import Asker
from kit.stream.results import Detections
from kit.stream.sinks.interface import Emission
from kit.stream.watch import watch

MOST = 8
"""Crops of one frame: the surest. Each is a request of its own, and the server makes batches of them."""


class Cascade:
    """Asks the second model about what the first one found."""

    def __init__(self, second: Asker) -> None:
        self.second = second

    def on_detections(self, seen: Emission) -> None:
        """Print what both say. While this works, newer results wait, and live cameras leave some out."""
        frame, found = seen.result.frame, seen.result.output
        if not isinstance(found, Detections) or not len(found):
            return
        boxes = [box for box in found.boxes[:MOST] if min(box[2:] - box[:2]) >= 1]
        answers = self.second.ask([crop(frame.image, box) for box in boxes])
        first = words.rows(found, seen.labels)
        for line, answer in zip(first, answers, strict=False):
            print(f"{frame.camera} {frame.number:5d} {line}  ->  {words.brief(answer, self.second.labels)}")


def crop(image: npt.NDArray[np.uint8], box: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the part [h, w, 3] of a frame in a box x1, y1, x2, y2: every pixel that it touches."""
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.ceil(box[2:]).astype(int)
    return np.ascontiguousarray(image[top:bottom, left:right])


def main() -> int:
    """Stream until the video ends, or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="rtsp://user:password@host/path, a file, /dev/video0, test://30fps ...")
    parser.add_argument("--model", required=True, help="the detector")
    parser.add_argument("--then", required=True, metavar="MODEL", help="the model that looks at its finds")
    parser.add_argument("--url", default="localhost:8001", help="the server's gRPC address (default: %(default)s)")
    options = parser.parse_args()
    try:
        with Asker(options.url, options.then) as second:
            second.labels  # noqa: B018 (a wrong name is told now, and not with the first find)
            cascade = Cascade(second)
            watch(options.source, model=options.model, url=options.url, on_detections=cascade.on_detections)
    except KitError as error:
        print(f"cascade: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
