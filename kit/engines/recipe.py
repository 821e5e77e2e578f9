"""What an engine is built from and for: everything but where it is built."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kit.engines import versions
from kit.errors import UnsupportedModelError, UsageError
from kit.targets.values import Target
from kit.types import Signature, Tensor

_SPAN = re.compile(r"(.+)=([1-9]\d*(?:x[1-9]\d*)*)(?:\.\.([1-9]\d*(?:x[1-9]\d*)*))?")

_SHARED_MEMORY = 16
_OWN_MEMORY = 8
"""The part of a device's memory that tactics may use while they run: less where the CPU has it too."""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """An optimisation profile's three shapes of one input, batch dimension included."""

    name: str
    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]

    @property
    def fixed(self) -> bool:
        """Whether there is only one shape."""
        return self.least == self.most


@dataclass(frozen=True, kw_only=True)
class Span:
    """What a user asked of one input: the least and the largest shape, without the batch dimension."""

    least: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One engine: of which file, for which target, with what.

    ``onnx_digest`` is the published file's, which the configuration names too. ``shapes`` holds every input.
    ``max_batch_size`` is Triton's: 0 where the model has no batches. ``precisions`` are those in the graph below FP32.
    ``plan`` is the engine's file name.
    """

    model: str
    version: int
    target: Target
    onnx_digest: str
    plan: str
    signature: Signature
    max_batch_size: int
    shapes: tuple[Shapes, ...]
    precisions: frozenset[str] = frozenset()
    workspace_mib: int
    dla_core: int | None = None
    version_compatible: bool = False
    strongly_typed: bool = False

    @property
    def tensorrt(self) -> str:
        """The version that is in the target's image, which serves."""
        assert self.target.stack.tensorrt_version is not None
        return self.target.stack.tensorrt_version

    @property
    def static(self) -> bool:
        """Whether every shape is fixed: only then do several instances share one engine's weights in memory."""
        return all(shape.fixed for shape in self.shapes)

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that are measured: 1 and the largest; 1 alone stands for a model without batches."""
        return tuple(sorted({1, max(1, self.max_batch_size)}))

    def at(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each input in a batch of that size; free sizes as they are mostly."""
        return {s.name: s.usual if self.max_batch_size == 0 else (batch, *s.usual[1:]) for s in self.shapes}


def parse_spans(texts: Iterable[str]) -> dict[str, Span]:
    """Return what ``--shape`` says of each input: ``images=640x640x3``, ``images=320x320x3..640x640x3``.

    Raises ``UsageError``.
    """
    found = {}
    for text in texts:
        match = _SPAN.fullmatch(text)
        if match is None:
            raise UsageError(
                f'--shape "{text}": an input and its sizes without the batch, as images=640x640x3, or a range, as '
                "images=320x320x3..640x640x3"
            )
        name, low, high = match.groups()
        if name in found:
            raise UsageError(f"--shape {name}: given twice; give a range, as {name}={low}..{high or low}")
        least, most = (tuple(int(size) for size in part.split("x")) for part in (low, high or low))
        found[name] = Span(least=least, most=most)
    return found


def workspace_mib(target: Target, asked: int | None) -> int:
    """Return how much memory tactics may use, MiB: an eighth of a card's, a sixteenth of what the CPU shares."""
    if asked is not None:
        return asked
    memory = target.device.memory_mib or 8192
    return max(256, memory // (_SHARED_MEMORY if target.device.memory_shared_with_cpu else _OWN_MEMORY))


def shapes(
    signature: Signature, max_batch_size: int, usual_batch: int, asked: Mapping[str, Span]
) -> tuple[Shapes, ...]:
    """Return each input's shapes: a batch of 1 up to the largest, all else fixed unless a span was asked for.

    Raises ``UsageError`` where a size is free that nobody fixed, or where what was asked does not fit the input.
    """
    known = {tensor.name for tensor in signature.inputs}
    for name in asked:
        if name not in known:
            raise UsageError(f"--shape {name}: the model has no such input; it has {', '.join(sorted(known))}")
    return tuple(_of_one(t, max_batch_size, usual_batch, asked.get(t.name)) for t in signature.inputs)


def _of_one(tensor: Tensor, max_batch_size: int, usual_batch: int, asked: Span | None) -> Shapes:
    batched = max_batch_size > 0
    own = tensor.shape[1:] if batched else tensor.shape
    if asked is None:
        if -1 in own:
            raise UsageError(_which(tensor.name, own))
        asked = Span(least=own, most=own)
    _require_fit(tensor.name, own, asked)
    if not batched:
        return Shapes(name=tensor.name, least=asked.least, usual=asked.most, most=asked.most)
    return Shapes(
        name=tensor.name,
        least=(1, *asked.least),
        usual=(min(usual_batch, max_batch_size), *asked.most),
        most=(max_batch_size, *asked.most),
    )


def _which(name: str, own: tuple[int, ...]) -> str:
    example = "x".join(str(640 if size == -1 else size) for size in own)
    free = " and ".join(str(axis) for axis, size in enumerate(own) if size == -1)
    return (
        f'input "{name}" {list(own)} leaves dimension {free} open, and fixed sizes are 10 to 20 % faster: give '
        f"--shape {name}={example}, or a range as --shape {name}={example.replace('640', '320')}..{example}"
    )


def _require_fit(name: str, own: tuple[int, ...], asked: Span) -> None:
    for given in (asked.least, asked.most):
        fits = len(given) == len(own) and all(o in (-1, g) for o, g in zip(own, given, strict=False))
        if not fits:
            wanted = "x".join("?" if size == -1 else str(size) for size in own)
            raise UsageError(f"--shape {name}={'x'.join(map(str, given))}: the model takes {wanted}, without the batch")
    if any(low > high for low, high in zip(asked.least, asked.most, strict=True)):
        raise UsageError(f"--shape {name}: the smaller shape comes first, as 320x320x3..640x640x3")


def require_possible(recipe: Recipe) -> None:
    """Refuse what no build of this version can give. Raises ``UsageError`` and ``UnsupportedModelError``."""
    version, target = versions.of(recipe.tensorrt), recipe.target
    if recipe.strongly_typed and not version.can_be_strong:
        raise UsageError(f"TensorRT {recipe.tensorrt} has no strong typing, 10.0 has; leave --strongly-typed out")
    if recipe.dla_core is None:
        return
    cores = target.device.dla_cores
    if recipe.dla_core >= cores:
        has = f"has {cores} DLA cores" if cores else "has no DLA"
        raise UsageError(
            f"--dla {recipe.dla_core}: {target.name} {has}; leave it out" + (" or give 0" if cores else "")
        )
    if not version.dla:
        raise UsageError(f"TensorRT {recipe.tensorrt} builds nothing for a DLA; 10.x and 11.4.1 do")
    if not recipe.static:
        raise UnsupportedModelError(
            "a DLA takes fixed shapes only, the batch too: generate the model with --max-batch-size 1, then give --dla"
        )
    if not recipe.precisions & {"fp16", "int8"}:
        raise UnsupportedModelError("a DLA computes in FP16 and INT8 only: generate the model with --precision fp16")
