"""Whether a stage kept the model's answers: the same inputs through both, output by output.

Every comparison is made at batch 1, 2 and the largest, on the same frames, so that it also shows whether
a frame's answer depends on the frames beside it: Triton's batcher puts strangers into one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kit import alignment, dialect, simplify, tasks
from kit.answered import Answered
from kit.errors import ParityError, UnsupportedModelError
from kit.inputs import Recipe, Samples, to_native
from kit.types import Difference, Graphs, Model, Parity, Tensor


class DiffersError(ParityError):
    """Numbers differ by more than rounding."""


Array = npt.NDArray[np.generic]
Arrays = dict[str, Array]
Runner = Callable[[Arrays], Arrays]

TOLERANCE = 1e-4
"""Largest difference of FP32 graphs, relative to the output's largest value: rounding stays far below it."""

_HALF_TOLERANCE = 5e-3
"""The same where an output of the network is FP16, which has 11 bits: a few roundings."""

_INTEGER_TOLERANCE = 2e-2
"""The same of graphs that compute in 8 bits: a rounding the other way is one of 255 steps, in several layers."""

_TOLERANCES = {"fp32": TOLERANCE, "fp16": _HALF_TOLERANCE, "int8": _INTEGER_TOLERANCE}
_LEAST_COSINE = 0.9999
_LEAST_COSINE_OF_INTEGERS = 0.999

_SMALLEST_RANGE = 1e-6
"""An output whose largest value is below is all zeros in FP32 arithmetic, rounded."""

_MAP_DIMENSIONS = 3
"""An integer output of so many is a map of classes, [N, H, W]: millions of decisions, of which some are close."""


class Answers:
    """What a model answers to the first frames of the samples, each batch size asked once."""

    def __init__(self, run: Runner, samples: Samples) -> None:
        self._run = run
        self._samples = samples
        self._made: dict[int, Arrays] = {}

    def at(self, size: int) -> Arrays:
        """Return the outputs for the first ``size`` frames."""
        if size not in self._made:
            self._made[size] = self._run(self._samples.batch(size))
        return self._made[size]


def tolerance_of(path: Path) -> float:
    """Return how far a graph's answers may be apart, by what it computes in inside."""
    return tolerance_in(dialect.rounding(path))


def tolerance_in(precision: str) -> float:
    """Return how far answers may be apart that are computed in ``fp32``, ``fp16`` or ``int8``."""
    return _TOLERANCES[precision]


def check_stages(
    graphs: Graphs, frames: Samples, sizes: tuple[int, ...], answered: Answered | None = None
) -> tuple[Parity, ...]:
    """Hold each graph against the one before it; what the served one gave is told to ``answered``.

    Raises ``ParityError``, which names the stage and the output, and ``simplify.UnfaithfulError`` where that stage is
    the simplifier's, without which the model can be served.
    """
    floor = tolerance_of(graphs.original.path)
    native = frames.mapped(lambda feeds: to_native(feeds, graphs.network.signature, graphs.meaning))
    original = Answers(runner(graphs.original.path), native)
    network = Answers(runner(graphs.network.path), native)
    found = []
    if graphs.reference is not None:
        found.append(_check("export", Answers(graphs.reference, native).at, original.at, frames, sizes, floor))
    found.append(_check_simplified(graphs, original, network, frames, sizes, floor))
    if graphs.meaning.contract == "served":
        opened = _opened(graphs, frames)
        found.append(_check_contract(graphs, network, opened, frames, sizes, floor))
        if answered is not None:
            names = [tensor.name for tensor in graphs.served.signature.outputs]
            answered.tell({size: {name: opened.at(size)[name] for name in names} for size in sizes})
    return tuple(found)


def _check_simplified(
    graphs: Graphs, original: Answers, network: Answers, frames: Samples, sizes: tuple[int, ...], floor: float
) -> Parity:
    try:
        found = _check("simplify", original.at, network.at, frames, sizes, floor)
    except DiffersError as error:
        if graphs.original.digest == graphs.network.digest:
            raise
        raise simplify.UnfaithfulError(str(error).removeprefix("simplify: ")) from error
    if floor == TOLERANCE and graphs.original.digest != graphs.network.digest:
        simplify.check(original.at(sizes[0]), network.at(sizes[0]))
    return found


def check_resized(
    graphs: Graphs, other: Recipe, found: tuple[Parity, ...], tell: Callable[[str], None]
) -> tuple[Parity, ...]:
    """Add to a comparison one at another size of picture, where the model takes it; ``tell`` where it does not."""
    samples = other.make()
    native = samples.mapped(lambda feeds: to_native(feeds, graphs.network.signature, graphs.meaning))
    try:
        Answers(runner(graphs.original.path), native).at(1)
    except UnsupportedModelError:
        height, width = other.free
        tell(f"the size of its pictures is called free, and it does not take {height}x{width}: export it with one size")
        return found
    more = check_stages(graphs, samples, (1,))
    return tuple(replace(a, differences=(*a.differences, *b.differences)) for a, b in zip(found, more, strict=True))


def _opened(graphs: Graphs, frames: Samples) -> Answers:
    """Return the fused graph's answers, with those of the network and of a task's own tensors inside it."""
    own = [f"{graphs.meaning.task}/{name}" for name in tasks.get(graphs.meaning.task).inner]
    return Answers(runner(graphs.served.path, [*_inside(graphs), *own]), frames)


def _inside(graphs: Graphs) -> list[str]:
    """Return the names that the network's outputs, which its head reads, have in the fused graph."""
    return [f"network/{t.name}" for t in _read_outputs(graphs)]


def _check_contract(
    graphs: Graphs, network: Answers, opened: Answers, frames: Samples, sizes: tuple[int, ...], floor: float
) -> Parity:
    """Hold the fused graph against the network with numpy before and after it.

    In two parts, so that a rounding error cannot flip a box over a threshold and look like a fault: the
    network's own outputs, taken from inside the fused graph, against the network alone; then the served
    outputs against the numpy post-processing of those same inner outputs. So it is with a task's own inner tensors.
    """
    task = tasks.get(graphs.meaning.task)
    read = _inside(graphs)
    own = {name: f"{task.name}/{name}" for name in task.inner}

    def expected(size: int) -> Arrays:
        given = opened.at(size)
        outside = {f"network/{name}": value for name, value in network.at(size).items()}
        inner = {name: given[name] if name in read else value for name, value in outside.items()}
        made = task.reference(inner | {name: given[full] for name, full in own.items()}, graphs.meaning)
        return {name: outside[name] for name in read} | {own.get(name, name): value for name, value in made.items()}

    return _check("contract", expected, opened.at, frames, sizes, floor)


def check_built(
    stage: str,
    graphs: Graphs,
    precise: Model,
    before: Answers,
    after: Answers,
    samples: Samples,
    sizes: tuple[int, ...],
) -> Parity:
    """Hold the answers of what a runtime built against the graph's; both give what is inside too (``kit.built``).

    The network's own outputs are compared with each other; what is decided by them with numpy's decision on the
    built one's own. FP16 numbers are rounded where the graph says by one and not by the other: there the outputs of
    the network alone are compared. A list that the network chose itself may be in another order.
    """
    task, floor = tasks.get(graphs.meaning.task), tolerance_of(precise.path)
    if graphs.meaning.contract != "served":
        return _check(stage, before.at, after.at, samples, sizes, floor)
    read = [f"network/{tensor.name}" for tensor in _read_outputs(graphs)]
    own = {name: f"{task.name}/{name}" for name in task.inner}
    chosen = dialect.chooses(precise.path)

    def expected(size: int) -> Arrays:
        inside = {name: before.at(size)[name] for name in read}
        if any(value.dtype == np.float16 for value in inside.values()):
            return inside
        given = after.at(size)
        # By position, as a layout has them: those that nobody reads are not in the graph any more.
        every = [f"network/{tensor.name}" for tensor in graphs.network.signature.outputs]
        raw = {name: given.get(name, np.empty(0)) for name in every}
        made = task.reference(raw | {name: given[full] for name, full in own.items()}, graphs.meaning)
        return inside | {own.get(name, name): value for name, value in made.items()}

    def got(size: int) -> Arrays:
        given = after.at(size)
        if not chosen:
            return given
        return given | alignment.aligned({n: before.at(size)[n] for n in read}, {n: given[n] for n in read}, floor)

    return _check(stage, expected, got, samples, sizes, floor)


def _read_outputs(graphs: Graphs) -> list[Tensor]:
    """Return the network's outputs that its head reads."""
    outputs, layout = graphs.network.signature.outputs, graphs.meaning.layout
    return [outputs[position] for position in layout.outputs] if layout is not None else list(outputs)


def runner(path: Path, also: list[str] | None = None, threads: int = 0) -> Runner:
    """Return a function that runs an ONNX file on the CPU; ``also`` names inner tensors to give as well."""
    import kit.graph

    running = kit.graph.session(_with_outputs(path, also) if also else path, threads)
    names = [value.name for value in running.get_outputs()]

    def run(feeds: Arrays) -> Arrays:
        return dict(zip(names, kit.graph.answer(running, feeds), strict=True))

    return run


def _with_outputs(path: Path, names: list[str]) -> bytes:
    """Return a model's file with more outputs, its weights neither read nor written anew.

    Of a message that comes in two parts, repeated fields are put together:
    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """
    import onnx

    more = onnx.ModelProto()
    more.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return path.read_bytes() + bytes(more.SerializeToString())


def difference(output: str, expected: Array, got: Array) -> Difference:
    """Return how far ``got`` is from ``expected``; both have the batch first.

    Integers, booleans and strings are compared for equality: ``maximum`` is then their distance, or 1. Of integers
    for each pixel, ``relative`` is the share that differs: where two classes are equally good, rounding decides.
    """
    batch = expected.shape[0] if expected.ndim else 1
    if np.array_equal(expected, got):  # NaN is not equal to itself
        return Difference(output=output, batch=batch, nan=0, maximum=0.0, relative=0.0, cosine=1.0)
    if not np.issubdtype(expected.dtype, np.number):
        apart = float(np.any(expected.astype(str) != got.astype(str)))
        return Difference(output=output, batch=batch, nan=0, maximum=apart, relative=apart, cosine=1 - apart)
    exact = not np.issubdtype(expected.dtype, np.inexact)
    wide, other = expected.astype(np.float64), got.astype(np.float64)
    # Equal infinities are equal: their difference, and their share of the range, is no number.
    wide, other = (np.where((expected == got) & np.isinf(wide), 0.0, values) for values in (wide, other))
    apart = float(np.max(np.abs(wide - other), initial=0.0))
    if exact and not np.array_equal(expected, got):
        apart = max(apart, 1.0)  # beyond 2 ** 53, neighbours are the same float64
    if exact and expected.ndim >= _MAP_DIMENSIONS:
        share = float(np.mean(expected != got))
        return Difference(output=output, batch=batch, nan=0, maximum=apart, relative=share, cosine=1.0)
    scale = 1.0 if exact else max(_SMALLEST_RANGE, float(np.max(np.abs(wide), initial=0.0, where=np.isfinite(wide))))
    return Difference(
        output=output,
        batch=batch,
        nan=int(np.isnan(other).sum()),
        maximum=apart,
        relative=apart / scale,
        cosine=_least_cosine(wide, other) if wide.size else 1.0,
    )


def exceeds(found: Difference, tolerance: float) -> bool:
    """Tell whether a difference is more than rounding. NaN is."""
    least = _LEAST_COSINE if tolerance <= _HALF_TOLERANCE else _LEAST_COSINE_OF_INTEGERS
    return bool(found.nan) or not found.relative <= tolerance or not found.cosine >= least


def _check(
    stage: str,
    before: Callable[[int], Arrays],
    after: Callable[[int], Arrays],
    samples: Samples,
    sizes: tuple[int, ...],
    floor: float = TOLERANCE,
) -> Parity:
    """Compare at each batch size; ``floor`` is the tolerance that the precision inside the graph asks for."""
    found: list[Difference] = []
    for size in sizes:
        expected = before(size)
        found += _differences(stage, expected, after(size), floor)
        if len(sizes) > 1:
            _require_independence(before(sizes[0]), expected, size, floor)
    allowed = _tolerance(before(sizes[0]), floor)
    return Parity(stage=stage, inputs=samples.description, tolerance=allowed, differences=tuple(found))


def _differences(stage: str, expected: Mapping[str, Array], got: Mapping[str, Array], floor: float) -> list[Difference]:
    found, allowed = [], _tolerance(expected, floor)
    for name, value in expected.items():
        if name not in got or got[name].shape != value.shape:
            shape = "nothing" if name not in got else f"shape {got[name].shape}"
            raise ParityError(f"{stage}: output {name} should have shape {value.shape}, the result gives {shape}")
        if np.issubdtype(value.dtype, np.floating) and np.isnan(value).any():
            raise ParityError(f"{stage}: output {name} is NaN before this stage already: the model itself is at fault")
        one = difference(name, value, got[name])
        if exceeds(one, allowed):
            raise DiffersError(
                f"{stage}: output {name} differs at batch {one.batch}: by {one.maximum:.3g} "
                f"({one.relative:.3g} of its range, allowed {allowed:g}), cosine {one.cosine:.6f}, {one.nan} NaN"
            )
        found.append(one)
    return found


def _tolerance(outputs: Mapping[str, Array], floor: float) -> float:
    """Return what rounding may do: where one output is FP16, others are made from FP16 numbers too."""
    return max(floor, _HALF_TOLERANCE) if any(value.dtype == np.float16 for value in outputs.values()) else floor


def _require_independence(first: Mapping[str, Array], wide: Mapping[str, Array], size: int, floor: float) -> None:
    """Compare the first frame's answer alone with its answer in company."""
    for name, value in first.items():
        if len(wide[name]) != size:
            raise ParityError(
                f"load: output {name} has {len(wide[name])} rows where {size} inputs are in the batch: its first "
                "dimension is no batch; serve the model with --max-batch-size 0"
            )
        apart = difference(name, value[:1], wide[name][:1])
        if exceeds(apart, _tolerance(first, floor)):
            raise ParityError(
                f"load: output {name} of one input changes by {apart.maximum:.3g} when {size} are in the batch; "
                "Triton would mix requests of different clients: export with a fixed batch of 1"
            )


def _least_cosine(wide: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    a, b = (np.atleast_1d(values).reshape(len(np.atleast_1d(values)), -1) for values in (wide, other))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A row of zeros has no direction; how far the other is from it, ``relative`` tells.
        cosine = np.where(norms == 0, 1.0, np.einsum("ij,ij->i", a, b) / norms)
    return float(np.min(np.nan_to_num(cosine, nan=0.0), initial=1.0))
