"""Many cameras from a file, with a live page; say when something comes into view, and when it leaves.

kit serve model_repository
python clients/cameras.py clients/cameras.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from kit.errors import KitError
from kit.stream.results import Detections
from kit.stream.sinks.interface import Emission
from kit.stream.watch import watch

STEADY = 5
"""So many results in a row must agree: a network that blinks is no visitor."""


class Doorkeeper:
    """Remembers, for each camera, what is in view."""

    def __init__(self) -> None:
        self.in_view: dict[str, set[str]] = defaultdict(set)
        self._agreeing: dict[tuple[str, str], int] = defaultdict(int)

    def on_detections(self, seen: Emission) -> None:
        """Compare with what was in view; print what has changed for good."""
        camera, found = seen.result.frame.camera, seen.result.output
        if not isinstance(found, Detections):
            return
        now = {seen.labels[c] if c < len(seen.labels) else str(c) for c in found.classes.tolist()}
        before = self.in_view[camera]
        for name in now | before:
            key = (camera, name)
            self._agreeing[key] = self._agreeing[key] + 1 if (name in now) != (name in before) else 0
            if self._agreeing[key] == STEADY:
                self._agreeing[key] = 0
                before ^= {name}
                print(f"{camera}: {name} {'came' if name in before else 'left'}", flush=True)


def main() -> int:
    """Stream until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="cameras, models and outputs: see docs/camera.md")
    parser.add_argument("--url", help="the server's gRPC address (default: the file's)")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="end after so long")
    options = parser.parse_args()
    keeper = Doorkeeper()
    try:
        watch(
            config=options.config, url=options.url, duration_s=options.duration, min_score=0.5,
            on_detections=keeper.on_detections,
        )  # fmt: skip
    except KitError as error:
        print(f"cameras: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
