"""The search for layers to leave in float, beside NNCF's accuracy control, on a detector that INT8 breaks.

    python benchmarks/fallback.py [--seconds 4] [--nncf PYTHON] [--runtime openvino|onnxruntime]

The detector is the example's with an outlier in two blocks (``examples/digits/collapsing.py``). Ours is the real
command, ``kit generate --precision int8`` with a budget of one point, from an empty cache. NNCF's
``quantize_with_accuracy_control`` gets the same budget, calibration and validation pictures, in its own environment
(``_nncf_peer.py`` says what that needs), and works on OpenVINO's IR. Each is timed in turn with FP32 on the same
runtime, one thread, batch 1: ``x`` is the ratio of the medians with its 95 % interval. NNCF's model keeps the threshold
of evaluation, so its FP32 has that too. CPU seconds and peak memory are those of the whole process tree that made it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from _measured import Run, run
from rich.console import Console
from rich.table import Table

from kit import accuracy, graph, inputs, latency, manifest, runners, runtimes, targets
from kit.paths import cache_root
from kit.types import Model

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from examples.digits.collapsing import collapsing  # noqa: E402

DIGITS = ROOT / "examples" / "digits"
TEST, CALIBRATION = DIGITS / "test", DIGITS / "calibration"
LIMIT_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one way. ``metric`` is mAP50-95."""

    name: str
    metric: float
    timed: latency.Beside | None = None
    made: Run | None = None
    note: str = ""


def generate(source: Path, folder: Path, *options: str) -> tuple[Path, Run]:
    """Run the real command from an empty cache; return the model's folder, and what it took."""
    variables = {**os.environ, "KIT_CACHE_DIR": str(folder / "cache")}
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "environments").symlink_to(cache_root() / "environments")  # they need not be made anew
    command = [sys.executable, "-m", "kit", "generate", str(source), "--output", str(folder / "repository"),
               "--no-verify", "--quiet", *options]  # fmt: skip
    done = run(command, ROOT, variables, LIMIT_S)
    if done.code != 0:
        raise SystemExit(f"kit generate ended with {done.code}:\n{done.errors[-2000:]}")
    return folder / "repository" / source.stem, done


def built(model: Model, runtime: str, folder: Path) -> Path:
    """Return the file of a model for a runtime."""
    folder.mkdir(parents=True)
    return runtimes.choose(target := targets.load("x86-cpu"), runtime).build(model, target, folder).path


def timed(first: Path, second: Path, seconds: float) -> latency.Beside:
    """Time two files in turn on a picture."""
    frame = {"images": inputs.read_image(min(CALIBRATION.glob("*.jpg")), (320, 320), 3)[np.newaxis]}
    with ExitStack() as stack:
        one, other = (stack.enter_context(runners.open(str(path), threads=1)) for path in (first, second))
        return latency.beside(lambda: one.run(frame), lambda: other.run(frame), batch=1, seconds=seconds)


class Race:
    """The detector, and what each way makes of it."""

    def __init__(self, folder: Path, runtime: str, seconds: float) -> None:
        self.folder, self.runtime, self.seconds = folder, runtime, seconds
        self.source = folder / "collapsing.onnx"
        onnx.save(collapsing(onnx.load(str(DIGITS / "digits.onnx"))), str(self.source))
        served, _ = generate(self.source, folder / "fp32")
        known = manifest.read(served)
        assert known is not None
        self.meaning = known.interpretation
        path = served / "1" / "model.onnx"
        self.served = graph.describe(path, graph.write(onnx.load(str(path)), folder / "same.onnx"))
        (folder / "twin").mkdir()
        self.twin = accuracy.evaluation_twin(self.served, self.meaning, folder / "twin")
        self.validation = accuracy.read(TEST, self.meaning)

    def metric(self, path: Path) -> float:
        """Return the mAP50-95 of a file with the threshold of evaluation."""
        with runners.open(str(path)) as running:
            found = accuracy.measure(running.run, self.validation, self.meaning, running.signature)
        return accuracy.score(found, self.validation).value

    def trained(self) -> Row:
        """FP32 as it is."""
        return Row(name="fp32", metric=self.metric(built(self.twin, self.runtime, self.folder / "base-twin")))

    def ours(self) -> Row:
        """``kit generate``."""
        made, took = generate(
            self.source, self.folder / "ours", "--precision", "int8", "--runtime", self.runtime,
            "--calibration", str(CALIBRATION), "--validation", str(TEST),
        )  # fmt: skip
        report = json.loads((made.parent.parent / "repository.collapsing.quality.json").read_text())
        trial = report["targets"][0]["trials"][-1]
        file = next(path for path in (made / "1").iterdir() if path.suffix in (".xml", ".onnx"))
        base = built(self.served, self.runtime, self.folder / "base")
        return Row(name="kit", metric=trial["after"], timed=timed(base, file, self.seconds), made=took,
                   note=", ".join(trial["reverted"]))  # fmt: skip

    def peer(self, python: str) -> Row | None:
        """NNCF's accuracy control."""
        out = self.folder / "nncf.xml"
        script = Path(__file__).with_name("_nncf_peer.py")
        base = built(self.twin, "openvino", self.folder / "peer-base")  # in which ties are settled, as in ours
        command = [python, str(script), str(base), str(CALIBRATION), str(TEST), str(out)]
        done = run(command, self.folder, os.environ, LIMIT_S)
        if done.code != 0:
            print(done.errors[-2000:], file=sys.stderr)
            return None
        told = [line for line in (done.output + done.errors).splitlines() if "removed" in line.lower()]
        ratio = timed(base, out, self.seconds)
        return Row(name="nncf", metric=self.metric(out), timed=ratio, made=done, note=" ".join(told[-1:])[-60:])


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each pair that is timed")
    parser.add_argument("--nncf", metavar="PYTHON", help="a Python that has nncf and the rest: see _nncf_peer.py")
    parser.add_argument("--runtime", choices=["openvino", "onnxruntime"], default="openvino")
    given = parser.parse_args()
    table = Table("", "mAP50-95", "x FP32", "made in", "CPU", "peak MiB", "left in float")
    with tempfile.TemporaryDirectory() as name:
        race = Race(Path(name), given.runtime, given.seconds)
        rows = [race.trained(), race.ours(), *([race.peer(given.nncf)] if given.nncf else [])]
        for row in (row for row in rows if row is not None):
            ratio = f"{row.timed.ratio:.2f} [{row.timed.low:.2f}, {row.timed.high:.2f}]" if row.timed else ""
            took = (
                [f"{row.made.seconds:.0f} s", f"{row.made.cpu_s:.0f} s", f"{row.made.peak_mib:.0f}"]
                if row.made
                else [""] * 3
            )
            table.add_row(row.name, f"{100 * row.metric:.2f}", ratio, *took, row.note)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
