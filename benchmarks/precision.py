"""FP32, FP16 and INT8 beside each other, and beside plain ``quantize_static`` and NNCF: metric, latency, size.

    python benchmarks/precision.py [--pictures 300] [--seconds 4] [--nncf PYTHON] [--only digits|yolo]

``digits`` is the served example, with its own calibration and test pictures; ``yolo`` is a network of YOLO11n's size
with random weights (``_yolo_sized.py``): it is timed only. Each row is timed in turn with FP32 on the same runtime, one
thread, batch 1, so that what else the machine does meets both alike; ``x`` is the ratio of the medians with its 95 %
interval. mAP50-95 is measured by ``kit.accuracy`` on what the runtime itself computes.

``plain`` is ONNX Runtime's ``quantize_static`` with its defaults (every operator, a scale for each tensor);
``per channel`` the same with its documentation's advice for CPUs (QUInt8 activations, QInt8 weights for each channel).
``nncf`` is ``--precision nncf`` (OpenVINO only; its environment is made if it is not there). ``nncf control`` is
``quantize_with_accuracy_control`` on the IR, where ``--nncf`` names a Python that has NNCF: see ``_nncf_peer.py``. It
starts from the kit's own IR, in which ties are settled: a model without that is faster by what it leaves to chance. Its
threshold is that of evaluation, and so is that of the FP32 beside it. OpenVINO runs in a process of its own, which
costs each of its rows the same fraction of a millisecond.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import _yolo_sized
import numpy as np
from rich.console import Console
from rich.table import Table

from kit import accuracy, calibration, environments, graph, latency, precision, runners, runtimes, targets
from kit.accuracy.validation import Validation
from kit.cache import file_digest
from kit.precision.interface import Ask, Pictures
from kit.targets.values import Target
from kit.types import Interpretation, Model, Signature, Thresholds

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Frames of noise: all that a network with random weights can be calibrated on."""

    digest = "noise"
    count: int = 16

    def __len__(self) -> int:
        return self.count

    def feeds(self, signature: Signature, batch: int = 1) -> Iterator[dict[str, Any]]:
        """Yield them, always the same."""
        assert batch == 1
        chance = np.random.default_rng(0)
        _, height, width, channels = signature.inputs[0].shape
        for _ in range(self.count):
            yield {signature.inputs[0].name: chance.integers(0, 256, (1, height, width, channels), np.uint8)}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, and the pictures that it is calibrated and validated on."""

    name: str
    model: Model
    meaning: Interpretation
    calibration: Pictures
    validation: Validation | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was made and measured. ``metric`` is None where there is nothing to measure it on."""

    runtime: str
    name: str
    note: str
    size: int
    seconds: float
    metric: float | None
    timed: latency.Beside | None


def digits(pictures: int) -> Subject:
    """Return the example as the repository serves it."""
    path = ROOT / "model_repository" / "digits" / "1" / "model.onnx"
    manifest = json.loads((path.parents[1] / "manifest.json").read_text())["interpretation"]
    meaning = Interpretation(
        task="detect", head=manifest["head"], contract="served", class_count=10, normalization=None, color="rgb",
        thresholds=Thresholds(), reason="",
    )  # fmt: skip
    validation = accuracy.read(DIGITS / "test", meaning, ())
    return Subject(
        name="digits",
        model=graph.describe(path, file_digest(path)),
        meaning=meaning,
        calibration=calibration.choose(DIGITS / "calibration", pictures),
        validation=validation,
    )


def yolo(folder: Path) -> Subject:
    """Return the network of YOLO11n's size."""
    path = folder / "yolo.onnx"
    model = graph.describe(path, graph.write(_yolo_sized.build(), path))
    meaning = Interpretation(
        task="raw", head="raw", contract="native", class_count=None, normalization=None, color="rgb", thresholds=None,
        reason="",
    )  # fmt: skip
    return Subject(name="yolo", model=model, meaning=meaning, calibration=Noise(), validation=None)


def plain(subject: Subject, folder: Path, *, advised: bool) -> Model:
    """Return what ``quantize_static`` makes, by its defaults or as its documentation advises for CPUs."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    feeds = iter(subject.calibration.feeds(subject.model.signature))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = 32  # it holds every tensor of every picture

        def get_next(self) -> Any:
            self.left -= 1
            return next(feeds, None) if self.left >= 0 else None

    proto = onnx.load(str(subject.model.path))
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    source, made = folder / "named.onnx", folder / "plain.onnx"
    onnx.save(proto, source)
    options = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8} if advised else {}
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static(source, made, Reader(), quant_format=QuantFormat.QDQ, per_channel=advised, **options)
    return graph.describe(made, file_digest(made))


def made_by(subject: Subject, name: str, target: Target, backend: str, folder: Path) -> tuple[Model, str]:
    """Return the kit's own, and how it was done."""
    lowered = precision.get(name).apply(
        Ask(model=subject.model, meaning=subject.meaning, target=target, backend=backend,
            calibration=subject.calibration),
        folder,
    )  # fmt: skip
    return lowered.model, lowered.method.partition(":")[0]


class Bench:
    """Builds models for one runtime, and measures them beside its FP32."""

    def __init__(self, subject: Subject, runtime: str, folder: Path, seconds: float) -> None:
        self.subject, self.runtime, self.folder, self.seconds = subject, runtime, folder, seconds
        self.target = targets.load("x86-cpu")
        self.rows: list[Row] = []
        self.base = self.file(subject.model, "base")

    def add(self, name: str, make: Callable[[Path], tuple[Model, str]]) -> None:
        """Make a model, time it beside FP32 and measure it."""
        folder = self.folder / f"{self.subject.name}-{self.runtime}-{name.replace(' ', '-')}"
        folder.mkdir(parents=True)
        start = time.perf_counter()
        model, note = make(folder)
        seconds = time.perf_counter() - start
        self.add_file(name, self.file(model, name), note, seconds, self._metric(model, name))

    def add_file(
        self, name: str, path: Path, note: str, seconds: float, metric: float | None, base: Path | None = None
    ) -> None:
        """Add a row for a file that is there, timed beside ``base`` or the model's FP32."""
        size = path.stat().st_size + (path.with_suffix(".bin").stat().st_size if path.suffix == ".xml" else 0)
        timed = None if name == "fp32" else self._timed(base or self.base, path)
        self.rows.append(Row(runtime=self.runtime, name=name, note=note, size=size, seconds=seconds, metric=metric,
                             timed=timed))  # fmt: skip

    def metric_of(self, path: Path, signature: Signature) -> float:
        """Return the mAP50-95 of an evaluation twin's file."""
        assert self.subject.validation is not None
        with runners.open(str(path)) as running:
            found = accuracy.measure(running.run, self.subject.validation, self.subject.meaning, signature)
        return accuracy.score(found, self.subject.validation).value

    def twin(self, model: Model, name: str) -> Model:
        """Return the model with its score threshold lowered."""
        folder = self.folder / f"{self.subject.name}-{self.runtime}-{name.replace(' ', '-')}-twin"
        folder.mkdir(parents=True)
        return accuracy.evaluation_twin(model, self.subject.meaning, folder)

    def _metric(self, model: Model, name: str) -> float | None:
        if self.subject.validation is None:
            return None
        twin = self.twin(model, name)
        return self.metric_of(self.file(twin, f"{name}-twin"), model.signature)

    def file(self, model: Model, name: str) -> Path:
        """Return what the runtime loads of a model."""
        folder = self.folder / f"{self.subject.name}-{self.runtime}-{name.replace(' ', '-')}-built"
        folder.mkdir(parents=True)
        return runtimes.choose(self.target, self.runtime).build(model, self.target, folder).path

    def _timed(self, base: Path, path: Path) -> latency.Beside:
        feed = next(iter(self.subject.calibration.feeds(self.subject.model.signature)))
        with ExitStack() as stack:
            first, second = (stack.enter_context(runners.open(str(p), threads=1)) for p in (base, path))
            return latency.beside(lambda: first.run(feed), lambda: second.run(feed), batch=1, seconds=self.seconds)


def measured(subject: Subject, runtime: str, folder: Path, seconds: float, nncf: str | None) -> list[Row]:
    """Return the rows of one model on one runtime."""
    bench = Bench(subject, runtime, folder, seconds)
    bench.add("fp32", lambda _: (subject.model, ""))
    for name in ("fp16", "int8"):
        bench.add(name, lambda made, name=name: made_by(subject, name, bench.target, runtime, made))  # type: ignore[misc]
    if runtime == "onnxruntime":
        device = replace(bench.target.device, vnni=True)
        known = replace(bench.target, device=device)
        bench.add("int8 vnni", lambda made: made_by(subject, "int8", known, runtime, made))
        bench.add("plain", lambda made: (plain(subject, made, advised=False), "defaults"))
        bench.add("per channel", lambda made: (plain(subject, made, advised=True), "as advised"))
        return bench.rows
    bench.add("nncf", lambda made: made_by(subject, "nncf", bench.target, runtime, made))
    if nncf is not None and subject.validation is not None:
        _peer(bench, nncf, folder)
    return bench.rows


def _peer(bench: Bench, python: str, folder: Path) -> None:
    """Add what NNCF makes with the same budget."""
    twin, out = bench.file(bench.twin(bench.subject.model, "nncf control"), "nncf control"), folder / "nncf.xml"
    command = [python, str(HERE / "_nncf_peer.py"), str(twin), str(DIGITS / "calibration"), str(DIGITS / "test"),
               str(out)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return
    seconds = float(json.loads(done.stdout.splitlines()[-1])["seconds"])
    metric = bench.metric_of(out, bench.subject.model.signature)
    bench.add_file("nncf control", out, "accuracy control", seconds, metric, twin)


def table_of(subject: str, rows: list[Row]) -> Table:
    """Return the rows for people."""
    table = Table("runtime", "precision", "mAP50-95", "ms (p50)", "x FP32", "kB", "made in", "how", title=subject)
    for row in rows:
        timed = row.timed
        table.add_row(
            row.runtime,
            row.name,
            "" if row.metric is None else f"{100 * row.metric:.2f}",
            "" if timed is None else f"{timed.second.p50_ms:.2f} ({timed.first.p50_ms:.2f})",
            "" if timed is None else f"{timed.ratio:.2f} [{timed.low:.2f}, {timed.high:.2f}]",
            f"{row.size / 1000:,.0f}",
            f"{row.seconds:.0f} s",
            row.note,
        )
    return table


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300, help="calibration pictures of digits")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each pair that is timed")
    parser.add_argument("--nncf", metavar="PYTHON", help="a Python that has nncf and the rest")
    parser.add_argument("--only", choices=["digits", "yolo"])
    given = parser.parse_args()
    names = ["onnxruntime", *(["openvino"] if environments.find("openvino") else [])]
    with tempfile.TemporaryDirectory() as folder:
        for name in [given.only] if given.only else ["digits", "yolo"]:
            subject = digits(given.pictures) if name == "digits" else yolo(Path(folder))
            rows = [row for r in names for row in measured(subject, r, Path(folder), given.seconds, given.nncf)]
            Console(width=140).print(table_of(name, rows))


if __name__ == "__main__":
    main()
