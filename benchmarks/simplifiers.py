"""onnxsim beside onnxslim on several real architectures: time, nodes, bytes, and whether the answers stay.

    python benchmarks/simplifiers.py [model.onnx ...]

Without arguments: examples/digits and the models that the ``onnx`` package ships for its tests. Each tool runs in the
same process on the same model, one after the other; the ratio is onnxslim's time over onnxsim's.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from kit import inputs
from kit.graph import session_signature

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print the table."""
    import onnxsim
    import onnxslim

    tools: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
        "onnxsim": lambda model: onnxsim.simplify(model, check_n=0)[0],
        "onnxslim": onnxslim.slim,
    }
    given = [Path(argument) for argument in sys.argv[1:]]
    print(f"{'model':24s} {'nodes':>6s}" + "".join(f" | {name:>8s}: s  nodes     MB    differs" for name in tools))
    ratios = []
    for path in given or default_models():
        model = onnx.load(str(path))
        seconds, cells = [], []
        for tool in tools.values():
            taken, made = timed(tool, path)
            seconds.append(taken)
            differs = difference(model, made)
            cells.append(f" | {taken:11.2f} {len(made.graph.node):6d} {made.ByteSize() / 1e6:7.1f} {differs:10.1g}")
        ratios.append(seconds[1] / seconds[0])
        print(f"{path.stem[:24]:24s} {len(model.graph.node):6d}" + "".join(cells))
    print(f"\nonnxslim takes {statistics.median(ratios):.1f} times as long as onnxsim (median of {len(ratios)} models)")


def default_models() -> list[Path]:
    """Return the example and the models of the ``onnx`` package (weights random, structure real)."""
    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return [ROOT / "examples" / "digits" / "digits.onnx", *sorted(light.glob("*.onnx"))]


def timed(tool: Callable[[onnx.ModelProto], onnx.ModelProto], path: Path) -> tuple[float, onnx.ModelProto]:
    """Return the best of three times in seconds, and the result."""
    times = []
    made = onnx.ModelProto()
    for _ in range(3):
        model = onnx.load(str(path))
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            made = tool(model)
        times.append(time.perf_counter() - start)
    return min(times), made


def difference(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    """Return the largest difference of any output, relative to its range, on one random input."""
    outputs = [run(model) for model in (before, after)]
    return max(float(np.max(np.abs(a - b)) / max(1.0, float(np.max(np.abs(a))))) for a, b in zip(*outputs, strict=True))


def run(model: onnx.ModelProto) -> list[Any]:
    """Return what a model answers to a reproducible input."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {t.name: inputs.random(t, 1) for t in session_signature(session).inputs}
    return list(session.run(None, feeds))


if __name__ == "__main__":
    main()
