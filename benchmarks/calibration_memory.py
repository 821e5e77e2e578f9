"""Time and peak memory of choosing 1,000 pictures of 640 x 640 and of feeding all of them, as files and as a video.

    python benchmarks/calibration_memory.py [--count 1000] [--size 640]

Each step runs in a process of its own, whose peak is that of the whole process tree. All pictures at once would be
1.2 GB as bytes and 4.9 GB as FP32; the bound is 2 GiB.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from _measured import run
from PIL import Image
from rich.console import Console
from rich.progress import track

from examples.digits.materials import PHOTOGRAPHS, Split, photograph

BOUND_MIB = 2048
CHOOSE = """
import sys
from pathlib import Path
from kit import calibration
made = calibration.choose(Path(sys.argv[1]), int(sys.argv[2]))
print(len(made))
"""
FEED = """
import sys
from pathlib import Path
from kit import calibration
from kit.types import DataType, Signature, Tensor
size = int(sys.argv[3])
frame = Tensor(name="images", dtype=DataType.UINT8, shape=(-1, size, size, 3))
made = calibration.choose(Path(sys.argv[1]), int(sys.argv[2]))
print(sum(len(feed["images"]) for feed in made.feeds(Signature(inputs=(frame,), outputs=()), 8)))
"""


def main() -> None:
    """Make pictures, measure, print; exit code 1 where the bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", type=int, default=640)
    asked = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = write(folder, asked.count)
        print(f"{'source':8s} {'step':24s} {'pictures':>8s} {'seconds':>8s} {'CPU s':>8s} {'peak MiB':>9s}")
        for kind, source in sources.items():
            environment = {**os.environ, "KIT_CACHE_DIR": str(folder / f"cache-{kind}")}
            steps = (("choose", CHOOSE), ("choose again, feed", FEED), ("once more", FEED))
            for step, program in steps:
                command = (sys.executable, "-c", program, str(source), str(asked.count), str(asked.size))
                done = run(command, Path.cwd(), environment, 3600)
                assert done.code == 0, done.errors
                worst = max(worst, done.peak_mib)
                count = int(done.output)
                print(f"{kind:8s} {step:24s} {count:8d} {done.seconds:8.1f} {done.cpu_s:8.1f} {done.peak_mib:9.0f}")
    print(f"\npeak {worst:.0f} MiB of {BOUND_MIB}")
    sys.exit(worst > BOUND_MIB)


def write(folder: Path, count: int) -> dict[str, Path]:
    """Write crops of photographs, 1280 x 720, as JPEG files and as a video; return both."""
    import av

    photographs = [Image.fromarray(photograph(name)) for split in Split for name in PHOTOGRAPHS[split]]
    (folder / "files").mkdir()
    path = folder / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in track(range(count), "writing", console=Console(stderr=True), transient=True):
            picture = crop(photographs[number * len(photographs) // count], number)
            picture.save(folder / "files" / f"{number:05d}.jpg", quality=85)
            for packet in stream.encode(av.VideoFrame.from_image(picture)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return {"files": folder / "files", "video": path}


def crop(whole: Image.Image, number: int) -> Image.Image:
    """Return a part of a photograph in a light of its own."""
    rng = np.random.default_rng(number)
    width = whole.width * rng.uniform(0.3, 0.9)
    height = min(width * 9 / 16, whole.height)
    left, top = rng.uniform(0, whole.width - width), rng.uniform(0, whole.height - height)
    part = whole.crop((int(left), int(top), int(left + width), int(top + height)))
    gain = float(rng.uniform(0.3, 1.5))
    return part.resize((1280, 720), Image.Resampling.BILINEAR).point(lambda value: min(255, int(value * gain)))


if __name__ == "__main__":
    main()
