"""What TensorRT says when it builds nothing, as one line that says what to do."""

from __future__ import annotations

import re

from kit.errors import EngineBuildError, KitError, OutOfMemoryError

_LONGEST = 220

_KNOWN = (
    (
        r"Cannot create DLA engine|DLA core",
        "this device has not that DLA core; leave --dla out",
    ),
    (
        r"No importer registered for op: (?P<what>\w+)|Plugin not found[^:]*: (?P<plugin>\w+)",
        "TensorRT has no operator {what}; use --runtime onnxruntime for this model, which runs it beside TensorRT",
    ),
    (
        r"(?P<what>\S+) has no runners that implement it|Could not find any implementation for node (?P<node>[^.]+)",
        "TensorRT has no kernel for {what} in this precision here; try a larger --workspace, or --precision fp32",
    ),
    (
        r"first input has type UInt8|UInt8 (?:is )?(?:not|only) supported",
        "TensorRT computes nothing in UINT8; put a Cast to FP32 behind the input that is UINT8 and generate again",
    ),
    (
        r"(?i)unsupported (?:ONNX )?opset|opset version \d+ is not supported",
        "the model's operators are newer than this TensorRT; export it again with an older opset_version",
    ),
    (
        r"Unknown option: (?P<what>\S+)",
        "this trtexec does not know {what}: it is of another version than the target says; see kit targets",
    ),
    (
        r"(?i)No space left on device",
        "no space left where the engine is built; free some, or set TMPDIR",
    ),
    (  # the last: without a GPU it is told beside all that is wrong with a graph
        r"(?i)no CUDA-capable device|driver version is insufficient|any available devices|select device driver",
        "no GPU is there to build on, or its driver is too old; build on the device, with NVIDIA's driver and Toolkit",
    ),
)  # fmt: skip
_MEMORY = re.compile(
    r"(?i)out of memory|OutOfMemory|insufficient memory|Requested amount of GPU memory|cudaErrorMemoryAllocation"
)
_SUMMARY = re.compile(
    r"(?i)engine (?:set up|could not be)|^(?:Failed to|Parsing model|Building engine)|NOT successful|"
    r"--- (?:Begin|End) node|While parsing node"
)
_ABOUT = re.compile(r"^(?:\[[^\]]*\]|[\w.]+\.cpp:\d+:?|ERROR:|Error\[\d+\]:|In function \w+:)\s*")


def error(lines: tuple[str, ...], *, code: int | None = None, tool: str = "TensorRT") -> KitError:
    """Return what a failed build is to a user: ``EngineBuildError``, or ``OutOfMemoryError``.

    ``lines`` are the errors that were told, in their order; ``code`` is the exit code.
    """
    said = "\n".join(lines)
    if _MEMORY.search(said):
        return OutOfMemoryError(
            "the GPU has too little free memory to build this engine; stop what else uses it, or give a smaller "
            "--workspace or --max-batch-size"
        )
    for pattern, told in _KNOWN:
        if match := re.search(pattern, said):
            return EngineBuildError(told.format(what=_named(match)))
    if code is not None and code < 0:
        return EngineBuildError(f"{tool} was ended by signal {-code}; memory may have run out: see the system's log")
    return EngineBuildError(f"{tool} built no engine: {_last(lines)}")


def _named(match: re.Match[str]) -> str:
    return next((value for value in match.groupdict().values() if value), "it")


def _last(lines: tuple[str, ...]) -> str:
    """Return the line that tells most: the last one that is no summary, without where in TensorRT it arose."""
    if not lines:
        return "it gave no reason; run it as --dry-run shows it and look"
    telling = [line for line in lines if not _SUMMARY.search(line)] or list(lines)
    text = telling[-1]
    while (shorter := _ABOUT.sub("", text)) != text:
        text = shorter
    return text[:_LONGEST]
