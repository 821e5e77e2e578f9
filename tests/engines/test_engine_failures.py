"""What TensorRT says when it builds nothing, as a line for the user."""

from __future__ import annotations

import pytest

from kit.engines import failures
from kit.errors import EngineBuildError, OutOfMemoryError

SUMMARY = ("Failed to parse onnx file", "Parsing model failed", "Failed to create engine from model or file.",
           "Engine set up failed")  # fmt: skip


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Cuda failure: no CUDA-capable device is detected", "build on the device"),
        (
            "CUDA driver version is insufficient for CUDA runtime version",
            "driver is too old",
        ),
        ("docker: Error response from daemon: could not select device driver", "NVIDIA's driver and Toolkit"),
        ("Cannot create DLA engine, 0 not available", "leave --dla out"),
        (
            "In node 3: No importer registered for op: GridSample",
            "no operator GridSample",
        ),
        ("Unknown option: --workspace 2048", "does not know --workspace"),
        ("node_of_detect/selected has no runners that implement it", "no kernel for node_of_detect/selected"),
        (
            "Error Code 10: (Could not find any implementation for node Conv_3 + Relu_4.)",
            "kernel for Conv_3",
        ),
        ("frames/planes: first input has type UInt8 but must have type Float", "computes nothing in UINT8"),
        ("write: No space left on device", "no space left where the engine is built"),
    ],
)
def test_what_is_known_is_said_with_what_to_do(line: str, told: str) -> None:
    error = failures.error((line, *SUMMARY), code=1)
    assert isinstance(error, EngineBuildError)
    assert told in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "line",
    ["Error Code 2: OutOfMemory (no further information)", "Cuda failure: out of memory",
     "Tactic Device request: 2451MB Available: 1203MB. Requested amount of GPU memory (2569011200 bytes) could not be"],
)  # fmt: skip
def test_memory_has_its_own_error(line: str) -> None:
    error = failures.error((line, *SUMMARY), code=1)
    assert isinstance(error, OutOfMemoryError)
    assert "--workspace" in str(error)


def test_the_rest_is_the_last_line_that_tells_something() -> None:
    lines = (
        "[TRT] ModelImporter.cpp:949: While parsing node number 146 [Tile]:",
        "[TRT] ModelImporter.cpp:954: ERROR: ModelImporter.cpp:195 In function parseNode: [6] Invalid Node - /Tile",
        *SUMMARY,
    )
    assert str(failures.error(lines, code=1, tool="trtexec")) == "trtexec built no engine: Invalid Node - /Tile"


def test_nothing_said_is_said() -> None:
    assert "gave no reason" in str(failures.error((), code=1))
    assert "ended by signal 9" in str(failures.error((), code=-9))
    assert str(failures.error(SUMMARY, code=1)).endswith("Engine set up failed")
