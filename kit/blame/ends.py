"""Two models that can be asked the same: which input and output of one is which of the other, and at what batch.

Where one takes UINT8 frames and the other the network's own floats, the served graph says itself what the floats are:
its inner tensor ``frames/pixels`` is fed to the other, whose outputs are held against ``network/...`` inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kit import batching, dialect, runners
from kit.blame import feeds
from kit.blame.instrument import Instrument
from kit.blame.taps import OnnxTaps
from kit.errors import ComparisonError
from kit.modules import NETWORK
from kit.types import DataType, Signature, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kit.runners.interface import Running

Array: TypeAlias = "npt.NDArray[np.generic]"
Arrays: TypeAlias = "dict[str, Array]"
Run: TypeAlias = "Callable[[Arrays], Arrays]"

_PIXELS = "frames/pixels"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model that answers, and what shows its layers, if anything does."""

    reference: str
    runner: str
    running: Running
    precision: str | None
    instrument: Instrument | None

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.running.signature

    @property
    def bridge(self) -> OnnxTaps | None:
        """The model's inner tensors, where they hold the network's own input."""
        taps = self.instrument
        return taps if isinstance(taps, OnnxTaps) and taps.has(_PIXELS) else None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What both are asked. ``fed`` makes the feeds of both from one; ``outputs`` pairs what they answer with.

    ``inputs`` pairs, for the layers, the tensors that hold the same at the beginning.
    """

    tensors: tuple[Tensor, ...]
    batch: int
    fed: Callable[[Arrays], tuple[Arrays, Arrays]]
    runs: tuple[Run, Run]
    outputs: tuple[tuple[str, str], ...]
    inputs: Mapping[str, str]
    batches_equal: bool
    notes: tuple[str, ...]


@contextmanager
def opened(reference: str, threads: int) -> Iterator[Opened]:
    """Load a model. Raises as ``kit.runners.open`` does."""
    runner = runners.resolve(reference)
    with runners.open(reference, threads=threads) as running:
        instrument: Instrument | None = None
        precision = None
        if reference.lower().endswith(".onnx"):
            instrument, precision = OnnxTaps(Path(reference), threads), dialect.rounding(Path(reference))
        elif (live := getattr(running, "live", None)) is not None:
            from kit.blame.hooks import TorchHooks, shows_layers

            hooks = TorchHooks(live) if shows_layers(live.module) else None
            instrument, precision = hooks if hooks is not None and hooks.network.layers else None, "fp32"
        yield Opened(
            reference=reference, runner=runner.name, running=running, precision=precision, instrument=instrument
        )


@contextmanager
def paired(first: Opened, second: Opened) -> Iterator[Question]:
    """Find what both can be asked. Raises ``ComparisonError`` where there is nothing."""
    frames = [_takes_frames(side.signature) for side in (first, second)]
    with ExitStack() as stack:
        if frames[0] == frames[1]:
            yield _alike(first, second)
        elif (first if frames[0] else second).bridge is None:
            served, other = (first, second) if frames[0] else (second, first)
            raise ComparisonError(
                f"{served.reference} takes UINT8 frames and {other.reference} takes {_listed(other.signature.inputs)}; "
                "give the ONNX file of the served model (its folder in the repository), which shows what is in between"
            )
        elif frames[0]:
            yield _bridged(first, second, stack, swapped=False)
        else:
            yield _bridged(second, first, stack, swapped=True)


def _alike(first: Opened, second: Opened) -> Question:
    """Pair two models that take the same."""
    names = _pair_inputs(first, second)
    by_name = {tensor.name: tensor for tensor in second.signature.inputs}
    tensors = tuple(_common(tensor, by_name[names[tensor.name]]) for tensor in first.signature.inputs)
    batch, runs, notes, equal = _batched(first, second, _fixed(first.signature), _fixed(second.signature))
    outputs = _pair_outputs(first, second)
    return Question(
        tensors=tuple(feeds.concrete(tensor) for tensor in _with_batch(tensors, batch)),
        batch=batch,
        fed=lambda made: (
            feeds.cast(made, first.signature.inputs, {name: name for name in made}),
            feeds.cast(made, second.signature.inputs, names),
        ),
        runs=runs,
        outputs=outputs,
        inputs=names,
        batches_equal=equal,
        notes=(*notes, *_renamed(outputs)),
    )


def _bridged(served: Opened, other: Opened, stack: ExitStack, *, swapped: bool) -> Question:
    """Pair a served graph with its network; ``swapped`` where the network is the first of the two."""
    taps = served.bridge
    assert taps is not None
    if len(other.signature.inputs) != 1:
        raise ComparisonError(
            f"{other.reference} takes {_listed(other.signature.inputs)}, {served.reference} has one network input"
        )
    given = [tensor.name for tensor in other.signature.outputs if taps.has(NETWORK + tensor.name)]
    if not given:
        raise ComparisonError(
            f"{served.reference} has none of {_listed(other.signature.outputs)} inside; is it made from "
            f"{other.reference}?"
        )
    pixels = stack.enter_context(taps.tapping([_PIXELS]))
    inner = stack.enter_context(taps.tapping([NETWORK + name for name in given]))
    target = other.signature.inputs[0]
    sizes = _fixed(served.signature), _fixed(other.signature)
    batch, runs, notes, equal = _batched(served, other, *sizes, answer=inner)

    def fed(made: Arrays) -> tuple[Arrays, Arrays]:
        inside = {target.name: pixels(made)[_PIXELS].astype(target.dtype.numpy_name, copy=False)}
        return (inside, made) if swapped else (made, inside)

    pairs = tuple((NETWORK + name, name) for name in given)
    begin = taps.source(_PIXELS), target.name
    return Question(
        tensors=tuple(feeds.concrete(t) for t in _with_batch(served.signature.inputs, batch)),
        batch=batch,
        fed=fed,
        runs=(runs[1], runs[0]) if swapped else runs,
        outputs=tuple((b, a) for a, b in pairs) if swapped else pairs,
        inputs=dict([(begin[1], begin[0])] if swapped else [begin]),
        batches_equal=equal,
        notes=(*notes, f"{served.reference} is compared by the network inside it, which takes what {_PIXELS} holds"),
    )


def _batched(
    first: Opened, second: Opened, left: int | None, right: int | None, answer: Run | None = None
) -> tuple[int, tuple[Run, Run], tuple[str, ...], bool]:
    """Return the batch, how each side is asked with it, remarks, and whether both take it whole."""
    batch = max(left or 1, right or 1)
    runs, notes = [], []
    for side, fixed in ((first, left), (second, right)):
        run: Run = answer if answer is not None and side is first else side.running.run
        if fixed is not None and fixed != batch:
            notes.append(f"{side.reference} has a fixed batch of {fixed}: it is asked in parts of that size")
            run = batching.in_parts(run, fixed)
        elif fixed is not None and batch > 1:
            notes.append(f"{side.reference} has a fixed batch of {fixed}")
        runs.append(run)
    return batch, (runs[0], runs[1]), tuple(notes), (left or batch) == (right or batch)


def _fixed(signature: Signature) -> int | None:
    """Return a model's fixed batch; None where it is free or there is none."""
    return batching.fixed_batch(signature)


def _with_batch(tensors: tuple[Tensor, ...], batch: int) -> tuple[Tensor, ...]:
    """Return the tensors with a batch that all agree on left free, for it is made as large as it must be."""
    return tuple(replace(t, shape=(-1, *t.shape[1:])) if t.shape[:1] in ((batch,), (1,)) else t for t in tensors)


def _pair_inputs(first: Opened, second: Opened) -> dict[str, str]:
    """Return the second's input for each of the first's: by name, else by place."""
    left, right = first.signature.inputs, second.signature.inputs
    if len(left) != len(right):
        raise ComparisonError(
            f"they take different inputs: {first.reference} {_listed(left)}, {second.reference} {_listed(right)}"
        )
    if {t.name for t in left} == {t.name for t in right}:
        return {tensor.name: tensor.name for tensor in left}
    return {a.name: b.name for a, b in zip(left, right, strict=True)}


def _pair_outputs(first: Opened, second: Opened) -> tuple[tuple[str, str], ...]:
    """Return the outputs of the same name; where none has one, those of the same place."""
    left, right = first.signature.outputs, second.signature.outputs
    names = {tensor.name for tensor in right}
    if same := [(tensor.name, tensor.name) for tensor in left if tensor.name in names]:
        return tuple(same)
    if len(left) != len(right):
        raise ComparisonError(
            f"they give different outputs: {first.reference} {_listed(left)}, {second.reference} {_listed(right)}"
        )
    return tuple((a.name, b.name) for a, b in zip(left, right, strict=True))


def _renamed(outputs: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(f"output {a} is compared with {b}, by its place" for a, b in outputs if a != b)


def _common(one: Tensor, other: Tensor) -> Tensor:
    """Return what fits both inputs. Raises ``ComparisonError``."""
    fits = len(one.shape) == len(other.shape) and all(
        a == b or -1 in (a, b) for a, b in zip(one.shape[1:], other.shape[1:], strict=True)
    )
    floats = one.dtype.is_float and other.dtype.is_float
    if not fits or not (one.dtype is other.dtype or floats):
        raise ComparisonError(
            f"they take different inputs: {_listed((one,))} and {_listed((other,))}; compare models of one "
            "contract and size"
        )
    shape = tuple(b if a == -1 else a for a, b in zip(one.shape, other.shape, strict=True))
    free = one.shape[:1] == (-1,) or other.shape[:1] == (-1,)
    return replace(one, shape=(-1, *shape[1:]) if free else shape)


def _takes_frames(signature: Signature) -> bool:
    return len(signature.inputs) == 1 and signature.inputs[0].dtype is DataType.UINT8


def _listed(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in tensors) or "nothing"
