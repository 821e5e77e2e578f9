"""What is known of an engine, in a file beside it: from what it was built, by what, on what, and how fast it was.

An engine runs with the release of TensorRT that built it, on a GPU of the compute capability that it was built on, on
the same operating system: https://docs.nvidia.com/deeplearning/tensorrt/11.4.1/getting-started/support-matrix.html,
"Engine Portability". There is no way to ask an engine; TensorRT says it when it is loaded, in a server's log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kit.cache import file_digest
from kit.engines import versions
from kit.errors import EngineMismatchError

FORMAT = "triton-edge-kit-engine/1"
SUFFIX = ".json"
"""Behind the engine's own name: ``model.t4.plan.json``."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The GPU of a machine, as its driver tells of it; None where it does not."""

    name: str | None
    compute_capability: str | None
    driver: str | None


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How fast an engine answers batches of one size: milliseconds of one batch, and batches in a second."""

    batch: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    per_second: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How an output compares with ONNX Runtime's in one batch.

    ``count`` detections or numbers were compared. ``cosine`` is the least of a batch element, ``share`` that of
    detections or whole numbers that agree, ``differing`` how many do not, ``nan`` how many numbers became none.
    """

    output: str
    batch: int
    count: int
    cosine: float
    share: float
    differing: int
    nan: int


@dataclass(frozen=True, kw_only=True)
class BuiltShapes:
    """An input's profile."""

    input: str
    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The content of the file beside an engine.

    ``plan``, ``onnx`` and ``recipe`` are digests; by the latter a build knows that it has nothing to do.
    ``arguments`` are the builder's.
    """

    format: str = FORMAT
    plan: str
    onnx: str
    recipe: str
    target: str
    builder: str
    image: str | None
    tensorrt: str
    version_compatible: bool
    gpu: Gpu
    arguments: tuple[str, ...]
    precisions: tuple[str, ...]
    max_batch_size: int
    shapes: tuple[BuiltShapes, ...]
    dla_core: int | None
    bytes: int
    seconds: float
    timings: tuple[Timing, ...]
    agreement: tuple[Agreement, ...]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a server asks of an engine. ``onnx`` is the digest in its configuration; None: it does not say."""

    model: str
    target: str
    tensorrt: str | None
    onnx: str | None
    max_batch_size: int
    gpu: Gpu | None
    remedy: str


def text(made: Provenance) -> str:
    """Return the file's text."""
    return json.dumps(msgspec.to_builtins(made), indent=2, ensure_ascii=False) + "\n"


def beside(plan: Path) -> Path:
    """Return the file of an engine's provenance."""
    return plan.with_name(plan.name + SUFFIX)


def read(plan: Path) -> Provenance | None:
    """Return what is known of an engine; None where nothing is, or not in our words."""
    try:
        return msgspec.json.decode(beside(plan).read_bytes(), type=Provenance)
    except (OSError, msgspec.MsgspecError):
        return None


def require(plan: Path, wanted: Wanted) -> None:
    """Refuse an engine that cannot answer as its configuration says, before a server loads it.

    Raises ``EngineMismatchError``, which says what to type.
    """
    if not plan.is_file():
        raise EngineMismatchError(f"{wanted.model} has no engine for {wanted.target} yet; {wanted.remedy}")
    made = read(plan)
    if made is None:
        raise EngineMismatchError(
            f"{plan} says nothing of where it was built ({beside(plan).name} is missing or unreadable); {wanted.remedy}"
        )
    reason = _mismatch(plan, made, wanted)
    if reason is not None:
        raise EngineMismatchError(f"{plan} {reason}; {wanted.remedy}")


def _mismatch(plan: Path, made: Provenance, wanted: Wanted) -> str | None:
    """Return why an engine is not what is wanted, in words that follow its name."""
    if wanted.onnx is not None and made.onnx != wanted.onnx:
        return "was built from another model than the one that is published now"
    if wanted.tensorrt is not None and not _runs_with(made, wanted.tensorrt):
        return f"was built by TensorRT {made.tensorrt}, and {wanted.target} serves with {wanted.tensorrt}"
    here = wanted.gpu.compute_capability if wanted.gpu else None
    built = made.gpu.compute_capability
    if here is not None and built is not None and here != built:
        name = f" ({wanted.gpu.name})" if wanted.gpu and wanted.gpu.name else ""
        return f"was built for compute capability {built}, and this machine's GPU{name} has {here}"
    if wanted.max_batch_size > made.max_batch_size:
        return f"takes batches up to {made.max_batch_size}, and its configuration says {wanted.max_batch_size}"
    if file_digest(plan) != made.plan:
        return "was changed after it was built"
    return None


def _runs_with(made: Provenance, version: str) -> bool:
    """Tell whether a version runs an engine: its own release does; a later one of its major and 8 -> 10 -> 11 may.

    https://docs.nvidia.com/deeplearning/tensorrt/11.4.1/getting-started/support-matrix.html
    """
    if versions.release(made.tensorrt) == versions.release(version):
        return True
    built, serving = versions.numbers(made.tensorrt), versions.numbers(version)
    following = {8: (8, 10), 10: (10, 11)}.get(built[0], (built[0],))
    return made.version_compatible and serving >= built and serving[0] in following
