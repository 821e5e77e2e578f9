"""Time and memory of a lower precision: ``kit generate`` beside the same by hand with the libraries.

    python benchmarks/precision_by_hand.py [--rounds 3] [--precision int8] [--precision fp16] [--runtime openvino]

By hand is the script that a good engineer writes for this one model (``_precision_by_hand.py``): ONNX Runtime's
quantizer, an evaluation of FP32 and the result by pycocotools, a configuration; no server. Ours is the real command
from an empty cache: it also chooses the pictures, tries four ways to choose ranges, holds each class and the scores to
a budget with intervals, times both models, writes a quality report, and compares each stage; with ``live``, a real
Triton loads and answers too. ``again`` is the same command a second time. ``--runtime openvino`` adds ours for
OpenVINO, which has nothing by hand beside it (``fallback.py`` has NNCF).

All are run in turn in each round, each as its own process; the table shows medians. CPU seconds are those of the whole
process tree, and what else the machine does changes them less than the wall time; the memory is the tree's highest sum
of resident sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from _measured import Run, run
from rich.console import Console
from rich.table import Table

from kit.paths import cache_root

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "digits"
BY_HAND = Path(__file__).with_name("_precision_by_hand.py")
BY_HAND_RUNTIME = "onnxruntime"
LIMIT_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Took:
    """A command's name, what it took, and mAP50-95 before and after."""

    name: str
    run: Run
    before: float
    after: float


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", action="append", choices=["int8", "fp16"])
    parser.add_argument("--runtime", choices=["openvino"], help="ours for this one too")
    given = parser.parse_args()
    runtimes = [BY_HAND_RUNTIME, *([given.runtime] if given.runtime else [])]
    took: dict[str, list[Took]] = {}
    for number in range(given.rounds):
        for precision in given.precision or ["int8", "fp16"]:
            for runtime in runtimes:
                for one in one_round(precision, runtime):
                    took.setdefault(one.name, []).append(one)
                    print(f"{number + 1}: {one.name:28s} {one.run.seconds:6.1f} s", file=sys.stderr)
    report(took)
    return 0


def one_round(precision: str, runtime: str) -> Iterator[Took]:
    """Run each way once, and yield what it took."""
    name = precision if runtime == BY_HAND_RUNTIME else f"{precision} {runtime}"
    if runtime == BY_HAND_RUNTIME:
        with tempfile.TemporaryDirectory() as folder:
            yield by_hand(f"{name} by hand", precision, Path(folder))
    for way, options in (("kit", ("--no-verify",)), ("kit live", ())):
        with tempfile.TemporaryDirectory() as folder:
            yield ours(f"{name} {way}", precision, runtime, Path(folder), *options)
            if way == "kit live":
                yield ours(f"{name} {way}, again", precision, runtime, Path(folder), *options)


def by_hand(name: str, precision: str, folder: Path) -> Took:
    """Run the script."""
    paths = (DIGITS / "digits.onnx", DIGITS / "calibration", DIGITS / "test", folder)
    done = run([sys.executable, str(BY_HAND), precision, *map(str, paths)], folder, os.environ, LIMIT_S)
    require(done, name)
    told = json.loads(done.output.splitlines()[-1])
    return Took(name=name, run=done, before=told["before"], after=told["after"])


def ours(name: str, precision: str, runtime: str, folder: Path, *options: str) -> Took:
    """Run ``kit generate`` from the cache in ``folder``, in which environments and the server are there already."""
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    for kept in ("environments", "server"):
        if not (cache / kept).exists():
            (cache / kept).symlink_to(cache_root() / kept)
    command = [sys.executable, "-m", "kit", "generate", str(DIGITS / "digits.onnx"), "--precision", precision,
               "--runtime", runtime, "--calibration", str(DIGITS / "calibration"), "--validation", str(DIGITS / "test"),
               "--output", str(folder / "repository"), "--quiet", *options]  # fmt: skip
    done = run(command, ROOT, {**os.environ, "KIT_CACHE_DIR": str(cache)}, LIMIT_S)
    require(done, name)
    known = json.loads((folder / "repository" / "digits" / "manifest.json").read_text())
    accuracy = next(iter(known["targets"].values()))["accuracy"]
    return Took(name=name, run=done, before=accuracy["before"], after=accuracy["after"])


def require(done: Run, name: str) -> None:
    """Stop where a command failed: what it took says nothing then."""
    if done.code != 0:
        raise SystemExit(f"{name} ended with {done.code}:\n{done.errors[-2000:]}")


def report(took: Mapping[str, list[Took]]) -> None:
    """Print medians, and ratios to what is done by hand in the same round."""
    columns = ("", "wall s", "CPU s", "peak MiB", "x wall", "x CPU", "x memory", "mAP50-95")
    table = Table(*columns)
    for name, rows in took.items():
        peers = took.get(f"{name.split()[0]} by hand", [])
        compared = [] if name.endswith("by hand") or len(name.split()[:2]) < 2 or "openvino" in name else peers
        figures = [(row.run.seconds, row.run.cpu_s, row.run.peak_mib) for row in rows]
        beside = [(peer.run.seconds, peer.run.cpu_s, peer.run.peak_mib) for peer in compared]
        ratios = [[a / b for a, b in zip(own, peer, strict=True)] for own, peer in zip(figures, beside, strict=False)]
        told = [f"{statistics.median(values):.2f}" for values in zip(*ratios, strict=True)] or ["", "", ""]
        wall, cpu, peak = (statistics.median(values) for values in zip(*figures, strict=True))
        last = rows[-1]
        table.add_row(name, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}", *told, f"{last.before:.3f} -> {last.after:.3f}")
    Console(width=max(100, shutil.get_terminal_size().columns)).print(table)


if __name__ == "__main__":
    sys.exit(main())
