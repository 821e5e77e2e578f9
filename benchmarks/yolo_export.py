"""Wall time of ``kit generate yolo11n.pt``, everything verified, against ``yolo export format=onnx`` alone.

    python benchmarks/yolo_export.py [--network yolo11n] [--rounds 5]

Needs ultralytics (AGPL-3.0, its own process on both sides; never imported here); says so and ends where it is missing.
The checkpoint is made from ultralytics' YAML with random weights, so that nothing is downloaded. Rounds alternate, each
command with an empty stage cache; the table shows medians. Beside the wall time stands the CPU time of all processes
that a command started, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.paths import cache_root

_LIMIT = 1.5
_MAKE = "import sys, torch, ultralytics; torch.manual_seed(0); ultralytics.YOLO(sys.argv[1]).save(sys.argv[2])"
_YOLO = "from ultralytics.cfg import entrypoint; entrypoint()"


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds on the wall, and of CPU in the command and what it started."""

    wall: float
    cpu: float


def main() -> int:
    """Run the rounds and print medians and the ratio; exit code 1 where it is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="yolo11n", help="a YAML of ultralytics, without its ending")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if importlib.util.find_spec("ultralytics") is None:
        print("skipped: ultralytics is not installed here; pip install ultralytics (AGPL-3.0) to measure against it")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            **os.environ,
            "YOLO_AUTOINSTALL": "false",
            "YOLO_OFFLINE": "true",
            "KIT_CACHE_DIR": str(folder / "cache"),
        }
        checkpoint = f"{arguments.network}.pt"
        run(folder, environment, sys.executable, "-c", _MAKE, f"{arguments.network}.yaml", checkpoint)
        rounds = [one_round(folder, environment, checkpoint) for _ in range(arguments.rounds + 1)][1:]
        stages = json.loads((folder / "model_repository.report.json").read_text(encoding="utf-8"))["models"]
    report(rounds)
    (times,) = (model["stages"] for model in stages.values())
    print(
        "the last run's stages: "
        + ", ".join(f"{t['stage']} {t['seconds']:.1f} s" for t in times if t["seconds"] >= 0.05)
    )
    ratio = statistics.median(own.wall / peer.wall for peer, own in rounds)
    print(
        f"\nkit generate / yolo export {ratio:.2f}   at most {_LIMIT:g}   {'held' if ratio <= _LIMIT else 'NOT HELD'}"
    )
    return 0 if ratio <= _LIMIT else 1


def one_round(folder: Path, environment: Mapping[str, str], checkpoint: str) -> tuple[Spent, Spent]:
    """Run both commands once, as a user would for the first time."""
    for stale in ("cache", "model_repository"):
        shutil.rmtree(folder / stale, ignore_errors=True)
    (folder / "cache").mkdir()
    (folder / "cache" / "server").symlink_to(cache_root() / "server")
    exported = run(folder, environment, sys.executable, "-c", _YOLO, "export", f"model={checkpoint}", "format=onnx")
    generated = run(folder, environment, sys.executable, "-m", "kit", "generate", checkpoint, "--verify", "live")
    return exported, generated


def run(folder: Path, environment: Mapping[str, str], *command: str) -> Spent:
    """Run a command to its end; raises ``CalledProcessError``."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    return Spent(wall=wall, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def report(rounds: list[tuple[Spent, Spent]]) -> None:
    """Print medians and ranges."""
    print(f"{'':14s} {'wall s':>7s} {'CPU s':>7s}")
    for name, side in zip(("yolo export", "kit generate"), zip(*rounds, strict=True), strict=True):
        wall, cpu = [s.wall for s in side], [s.cpu for s in side]
        print(f"{name:14s} {statistics.median(wall):7.2f} {statistics.median(cpu):7.2f}   "
              f"({min(wall):.2f} to {max(wall):.2f})")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
