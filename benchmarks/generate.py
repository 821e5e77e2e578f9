"""Wall time of ``kit generate``: with verification against the same steps by hand, and when little or nothing changed.

    python benchmarks/generate.py [--model model.onnx] [--rounds 5]

Each round runs every command once, in turn, as its own process with an empty stage cache; the table shows medians.
The peer does by hand what an engineer would: onnxsim with its check, a config.pbtxt, one load and one answer by the
same Triton. It compares nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kit.paths import cache_root

ROOT = Path(__file__).resolve().parent.parent
BY_HAND = Path(__file__).with_name("_by_hand.py")
KIT = (sys.executable, "-m", "kit")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A figure in seconds, or its ratio to the peer's, and what was promised."""

    name: str
    command: str
    peer: str | None
    limit: float


CLAIMS = (
    Claim(name="generate with verification / by hand", command="generate", peer="by hand", limit=1.3),
    Claim(name="nothing changed, s", command="unchanged", peer=None, limit=0.5),
    Claim(name="only the configuration changed, s", command="config only", peer=None, limit=1.0),
    Claim(name="kit --help / import click", command="help", peer="import click", limit=2.0),
)


def main() -> int:
    """Run the rounds and print each claim; exit code 1 where one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "examples" / "digits" / "digits.onnx")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {}
    for number in range(arguments.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for name, seconds in one_round(Path(folder), arguments.model.resolve(), number).items():
                if number:  # the first round warms the disk cache
                    times.setdefault(name, []).append(seconds)
    return report(times)


def one_round(folder: Path, model: Path, number: int) -> dict[str, float]:
    """Run every command once and return how long each took, in seconds."""
    environment = {**os.environ, "KIT_CACHE_DIR": str(folder / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python compiles a module once, not at each start
    (folder / "cache").mkdir()
    (folder / "cache" / "server").symlink_to(cache_root() / "server")

    def timed(*command: str) -> float:
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return time.perf_counter() - start

    generate = (*KIT, "generate", str(model))
    steps: dict[str, Callable[[], float]] = {
        "by hand": lambda: timed(sys.executable, str(BY_HAND), str(model), str(folder / "by_hand")),
        "generate": lambda: timed(*generate),
        "unchanged": lambda: timed(*generate),
        "config only": lambda: timed(*generate, "--queue-delay-us", str(100 + number)),
        "help": lambda: timed(*KIT, "--help"),
        "import click": lambda: timed(sys.executable, "-c", "import click"),
    }
    return {name: run() for name, run in steps.items()}


def report(times: dict[str, list[float]]) -> int:
    """Print medians, ranges and claims; return the exit code."""
    for name, values in times.items():
        print(f"{name:14s} {statistics.median(values):6.2f} s   ({min(values):.2f} to {max(values):.2f})")
    print()
    held = True
    for claim in CLAIMS:
        own = times[claim.command]
        figures = own if claim.peer is None else [a / b for a, b in zip(own, times[claim.peer], strict=True)]
        figure = statistics.median(figures)
        held &= figure <= claim.limit
        verdict = "held" if figure <= claim.limit else "NOT HELD"
        print(f"{claim.name:40s} {figure:6.2f}   at most {claim.limit:g}   {verdict}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
