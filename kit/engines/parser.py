"""Whether a parser and builder of TensorRT's family take a graph, found out without a GPU.

TensorRT itself does nothing without one. TensorRT-RTX shares its parser and its builder's rules and works on any x86-64
machine; that its rules are those of the release that serves is inferred, and the device has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.engines import failures, library, versions
from kit.types import Signature

_BATCHES = (1, 2, 4)
_FREE = 320
"""Where a size is open, and the batch with it: what is tried, which says nothing of other sizes."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """What became of a graph. ``layers`` is 0 where it was not read, ``refused`` says why; None: it was built too.

    ``skipped`` names operators for which only TensorRT itself has a kernel: then it was read, and not built.
    """

    layers: int
    refused: str | None = None
    skipped: tuple[str, ...] = ()


def read(onnx: Path, signature: Signature, announce: Callable[[str], None]) -> Read:
    """Read and build a graph by TensorRT-RTX, in an environment of the kit's that is made now if need be.

    Raises ``ToolEnvironmentError`` where that cannot be made, ``WorkerDiedError``.
    """
    rtx = versions.facts().rtx
    lacking = _lacking(onnx, rtx.lacks)
    asked: dict[str, Any] = {
        "module": rtx.module,
        "onnx": str(onnx),
        "compute_capability": None if lacking else rtx.compute_capability,
        "shapes": {t.name: [_sized(t.shape, batch) for batch in _BATCHES] for t in signature.inputs},
        "builder_flags": [],
        "workspace_bytes": 1 << 30,
        "dla_core": None,
    }
    with library.running(library.rtx(announce)) as tensorrt:
        told = tensorrt.call("check", asked).data
    failed = not told["layers"] or not (told["built"] or lacking)
    reason = str(failures.error(tuple(told["errors"]), tool="TensorRT-RTX")) if failed else None
    return Read(layers=told["layers"], refused=reason, skipped=lacking)


def _lacking(path: Path, operators: tuple[str, ...]) -> tuple[str, ...]:
    import onnx

    used = {node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node}
    return tuple(name for name in operators if name in used)


def _sized(shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    return tuple((batch if axis == 0 else _FREE) if size == -1 else size for axis, size in enumerate(shape))
