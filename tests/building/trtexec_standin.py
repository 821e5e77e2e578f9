"""Stands in for trtexec where there is no GPU: takes the options that a release takes, and answers by ONNX Runtime.

Its engine is the ONNX behind a first line. What it prints has the form of TensorRT's samples (``sampleReporting.cpp``,
``sampleInference.cpp``). ``STANDIN_TENSORRT`` is the release, ``STANDIN_FAULT`` what goes wrong.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parents[1] / "engines" / "trtexec-options.toml"
RELEASE = os.environ.get("STANDIN_TENSORRT", "11.1.0")
FAULT = os.environ.get("STANDIN_FAULT", "")
MAGIC = b"standin engine\n"


def say(level: str, text: str) -> None:
    print(f"[11/22/2026-10:00:00] [{level}] {text}", flush=True)


def options() -> dict[str, str]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    known = set(tomllib.loads(HERE.read_text(encoding="utf-8"))[RELEASE]["options"].split())
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    unknown = [name for name in given if name not in known]
    for name in unknown:
        say("E", f"Unknown option: {name} {given[name]}")
    if unknown:
        finish(1)
    return given


def finish(code: int) -> None:
    print(f"&&&& {'FAILED' if code else 'PASSED'} TensorRT.trtexec {token()}", flush=True)
    sys.exit(code)


def token() -> str:
    major, minor, patch = (int(part) for part in RELEASE.split(".")[:3])
    number = major * 10_000 + minor * 100 + patch if major >= 10 else major * 1000 + minor * 100 + patch
    return f"[TensorRT v{number}] [b1]"


def build(given: dict[str, str]) -> None:
    if FAULT == "memory":
        say(
            "E",
            "Error[2]: [defaultAllocator.cpp::allocate::19] Error Code 2: OutOfMemory (Requested size was 1)",
        )
        say("E", "Engine set up failed")
        finish(1)
    if FAULT == "slow":
        Path("begun").touch()
        time.sleep(60)
    if FAULT != "silent":
        Path(given["--saveEngine"]).write_bytes(MAGIC + Path(given["--onnx"]).read_bytes())
    Path(given["--timingCacheFile"]).write_bytes(b"timing")


def measure(given: dict[str, str]) -> None:
    import numpy as np
    import onnxruntime

    model = Path(given["--loadEngine"]).read_bytes().removeprefix(MAGIC)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    shapes = dict(part.rpartition(":")[::2] for part in given.get("--shapes", "").split(",") if part)
    files = dict(part.rpartition(":")[::2] for part in given["--loadInputs"].split(","))
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int64)": np.int64}
    feeds = {}
    for taken in session.get_inputs():
        shape = [int(d) for d in shapes[taken.name].split("x")] if taken.name in shapes else taken.shape
        feeds[taken.name] = np.frombuffer(Path(files[taken.name]).read_bytes(), kinds[taken.type]).reshape(shape)
    answers = session.run(None, feeds)
    say("I", "Throughput: 500 qps")
    parts = ", ".join(f"percentile({p}%) = {1.5 + p / 100} ms" for p in (50, 90, 99))
    say("I", f"Latency: min = 1.5 ms, max = 3 ms, mean = 2 ms, median = 2 ms, {parts}")
    for made, value in zip(session.get_outputs(), answers, strict=True):
        value = value + 1 if FAULT == "wrong" and value.dtype == np.float32 else value
        value = value * np.float32("nan") if FAULT == "nan" and value.dtype == np.float32 else value
        dims = ".".join(map(str, value.shape))
        file = f"{made.name}.output.{dims}.X.raw"
        say("I", f"Writing file for output binding {made.name} (with datatype X and dimensions {dims}) to {file}")
        Path(file).write_bytes(np.ascontiguousarray(value).tobytes())


def main() -> None:
    print(f"&&&& RUNNING TensorRT.trtexec {token()} # {' '.join(sys.argv)}", flush=True)
    given = options()
    if "--help" in given:
        return
    say("I", "=== Device Information ===")
    say("I", "Selected Device: Tesla T4")
    say("I", f"Compute Capability: {os.environ.get('STANDIN_CAPABILITY', '7.5')}")
    build(given) if "--saveEngine" in given else measure(given)
    finish(0)


if __name__ == "__main__":
    main()
