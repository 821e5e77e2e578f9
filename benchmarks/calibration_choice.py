"""Pictures to calibrate INT8 on: chosen by coverage, beside the first N, N evenly spread and N at random.

    python benchmarks/calibration_choice.py [--counts 32 100] [--methods MinMax Percentile] [--seeds 5]

A long-tailed recording: 2,000 frames of one camera in haze before which digits drift, and in between 80 frames of
glare, night, coloured light and things that come close. examples/digits is quantised on N frames of it by ONNX
Runtime's ``quantize_static`` and judged on scenes made of the test split, which share no digit and no photograph with
the recording: as often in each light. What is printed is mAP50-95, for all and for the worst light, in points, as a
difference to FP32.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO

from examples.digits.data import coco_document
from examples.digits.evaluate import FOLDER, OnnxDetector, accuracy_of, coco_rows
from examples.digits.materials import Materials, Split, materials
from examples.digits.scenes import SIZE_PX, Layout, Scene, background, compose, render_ink
from examples.digits.scenes import Hand as Writing
from kit import calibration
from kit.cache import file_digest
from kit.calibration import survey, videos
from kit.types import DataType, Picture, Signature, Tensor

FRAMES, RATE = 2000, 25
JUDGED_PER_LIGHT = 40
SIGNATURE = Signature(
    inputs=(Tensor(name="images", dtype=DataType.UINT8, shape=(-1, SIZE_PX, SIZE_PX, 3)),), outputs=()
)
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Light:
    """How a scene is lit: ``pixel * gain + lift``, and how high digits are, in pixels."""

    name: str
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    lift: float = 0.0
    height_px: tuple[float, float] = (30.0, 70.0)

    def on(self, canvas: Floats) -> Pixels:
        """Return the picture [H, W, 3] in this light."""
        lit = canvas * np.array(self.gain, np.float32) + np.float32(self.lift)
        return np.asarray(np.clip(np.rint(lit), 0, 255), np.uint8)


DAY = Light(name="haze", gain=(0.45, 0.45, 0.45), lift=60)
RARE = (
    Light(name="glare", gain=(1.9, 1.9, 1.9), lift=20),
    Light(name="night", gain=(0.16, 0.16, 0.18)),
    Light(name="sodium", gain=(1.5, 0.8, 0.15)),
    Light(name="close", gain=(1.1, 1.1, 1.1), height_px=(110.0, 200.0)),
)
SEGMENTS = ((DAY, 600), (RARE[0], 20), (DAY, 500), (RARE[1], 20), (DAY, 400), (RARE[2], 20), (DAY, 420), (RARE[3], 20))


def main() -> None:
    """Make the recording, quantise, judge, print."""
    asked = parsed()
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["KIT_CACHE_DIR"] = str(folder / "cache")
        video = record(folder / "recording.mp4")
        times = videos.timeline(video)
        lit = [light.name for light, count in SEGMENTS for _ in range(count)]
        start = time.perf_counter()
        whole = calibration.choose(video, max(asked.counts))
        print(f"chose {len(whole)} of {len(times.times)} frames in {time.perf_counter() - start:.1f} s")
        print(f"variety: chosen {whole.coverage.variety:.1%}, first {whole.coverage.variety_first:.1%}, ", end="")
        print(f"evenly spread {whole.coverage.variety_spread:.1%}\n")
        judge = Judge()
        floats = judge.points(FOLDER / "digits.onnx")
        print(f"{'FP32':38s} mAP50-95 {floats[''] * 100:5.1f}   ", end="")
        print("  ".join(f"{light.name} {floats[light.name] * 100:.1f}" for light in (DAY, *RARE)), "\n")
        print(f"{'method':11s} {'N':>4s}  {'pictures':14s} {'rare':>5s} {'all':>7s} {'worst light':>18s}")
        for method in asked.methods:
            for count in asked.counts:
                for line in compared(judge, floats, folder, video, method, count, asked.seeds, whole, lit):
                    print(line, flush=True)
                print()


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[32, 100])
    parser.add_argument("--methods", nargs="+", default=["MinMax", "Percentile"])
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args()


def compared(
    judge: Judge, floats: dict[str, float], folder: Path, video: Path, method: str, count: int, seeds: int,
    whole: calibration.CalibrationSet, lit: Sequence[str],
) -> Iterator[str]:  # fmt: skip
    """Yield a line for each way to choose."""
    digest = file_digest(video)
    everything = tuple(Picture(path=video, digest=survey.frame_digest(digest, n), frame=n) for n in range(len(lit)))
    drawn = [np.sort(np.random.default_rng(seed).permutation(len(lit))[:count]) for seed in range(seeds)]
    ways: dict[str, list[tuple[Picture, ...]]] = {
        "coverage": [whole.first(count).pictures],
        "evenly spread": [tuple(everything[i * len(lit) // count] for i in range(count))],
        "first": [everything[:count]],
        "random": [tuple(everything[i] for i in rows) for rows in drawn],
    }
    for name, sets in ways.items():
        lost = []
        for pictures in sets:
            quantised = quantise(folder, pictures, method)
            found = judge.points(quantised)
            lost.append({light: (found[light] - floats[light]) * 100 for light in found})
        rare = statistics.mean(sum(lit[p.frame or 0] != DAY.name for p in pictures) for pictures in sets)
        mean = {light: statistics.mean(each[light] for each in lost) for light in lost[0]}
        worst = min((light.name for light in (DAY, *RARE)), key=lambda light: mean[light])
        lowest = f"  lowest {min(each[''] for each in lost):+.2f}" if len(lost) > 1 else ""
        label = f"{name} x {len(sets)}" if len(sets) > 1 else name
        lights = f"{worst:>9s} {mean[worst]:+8.2f}{lowest}"
        yield f"{method:11s} {count:4d}  {label:14s} {rare:5.0f} {mean['']:+7.2f} {lights}"


def record(path: Path) -> Path:
    """Write the recording as H.264."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        stream.width = stream.height = SIZE_PX
        stream.pix_fmt = "yuv420p"
        for number, (light, count) in enumerate(SEGMENTS):
            for pixels in drifting(light, count, seed=0 if light is DAY else number):
                for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                    container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def drifting(light: Light, count: int, *, seed: int) -> Iterator[Pixels]:
    """Yield frames of one place, in which five digits drift."""
    rng, supply = np.random.default_rng(seed), materials(Split.CALIBRATION)
    ground = background(rng, supply, SIZE_PX)
    inks = [ink_of(rng, supply, light) for _ in range(2 if light.height_px[0] > 100 else 5)]
    centres = rng.uniform(0.25, 0.75, (len(inks), 2)) * SIZE_PX
    phases, speeds = rng.uniform(0, 2 * np.pi, len(inks)), rng.uniform(0.005, 0.02, len(inks))
    colours = [(20.0, 25.0, 40.0) if (ground.mean() > 127) == (n % 3 > 0) else (240.0, 235.0, 220.0) for n in range(9)]
    for frame in range(count):
        canvas = ground.copy()
        for ink, centre, phase, speed, colour in zip(inks, centres, phases, speeds, colours, strict=False):
            angle = phase + frame * speed
            x, y = centre + np.array([np.cos(angle), np.sin(angle)]) * 60 - np.array(ink.shape[::-1]) / 2
            alpha = cv2.warpAffine(ink, np.array([[1, 0, x], [0, 1, y]], np.float32), (SIZE_PX, SIZE_PX))[..., None]
            canvas += alpha * (np.array(colour, np.float32) - canvas)
        canvas += rng.standard_normal(canvas.shape, dtype=np.float32) * 2
        yield light.on(canvas)


def ink_of(rng: np.random.Generator, supply: Materials, light: Light) -> Floats:
    """Return a digit [h, w], ink 0 to 1."""
    glyph = supply.glyphs[int(rng.integers(len(supply.labels)))]
    return render_ink(glyph, float(rng.uniform(*light.height_px)), Writing(threshold=0.5))


class Judge:
    """Scenes of the test split, as often in each light, and COCO's mAP on them."""

    def __init__(self) -> None:
        supply = materials(Split.TEST)
        self._scenes: list[Scene] = []
        self._lights: list[str] = []
        for position, light in enumerate((DAY, *RARE)):
            for index in range(JUDGED_PER_LIGHT):
                rng = np.random.default_rng((11, position, index))
                drawn = compose(rng, supply, Layout(digits=(1, 3) if light.height_px[0] > 100 else (2, 8)))
                lit = Scene(image=light.on(drawn.image.astype(np.float32)), boxes=drawn.boxes, labels=drawn.labels)
                self._scenes.append(lit)
                self._lights.append(light.name)
        self._truth = COCO()
        names = [f"{n}.jpg" for n in range(len(self._scenes))]
        self._truth.dataset = {"info": {}, **coco_document(names, self._scenes)}
        with contextlib.redirect_stdout(io.StringIO()):
            self._truth.createIndex()

    def points(self, model: Path) -> dict[str, float]:
        """Return mAP50-95, 0 to 1, by light; of all under ''."""
        detector, rows = OnnxDetector(model), []
        for number, scene in enumerate(self._scenes, start=1):
            rows += coco_rows(number, detector.detect(scene.image))
        ids = {light: [n for n, name in enumerate(self._lights, start=1) if name == light] for light in self._lights}
        ids[""] = list(range(1, len(self._scenes) + 1))
        return {light: accuracy_of(self._truth, rows, some).map50_95 for light, some in ids.items()}


def quantise(folder: Path, pictures: Sequence[Picture], method: str) -> Path:
    """Write digits.onnx with static INT8: unsigned activations, weights per channel, convolutions only."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantised

    from kit.calibration import frames

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = frames.read(pictures, (SIZE_PX, SIZE_PX), 3)

        def get_next(self) -> dict[str, Floats] | None:
            pixels = next(self._left, None)
            if pixels is None:
                return None
            return {"images": pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)}

    target = folder / "int8.onnx"
    with contextlib.redirect_stdout(io.StringIO()):
        quantised(
            FOLDER / "digits.onnx", target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
            calibrate_method=getattr(CalibrationMethod, method),
        )  # fmt: skip
    return target


if __name__ == "__main__":
    main()
