"""``kit export``: a network of PyTorch as a file for devices that Triton does not serve, held against the network."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import disk, environments, exports, runners, sources, workspace
from kit.cache import tool_version
from kit.environments import Worker
from kit.errors import CalibrationError, ExportError, ParityError, UnsupportedModelError, UsageError
from kit.exports.interface import Arrays, Exporter, Job
from kit.progress import Progress, Silent
from kit.sources.interface import Live
from kit.sources.interface import Torch as TorchSource
from kit.types import DataType, Difference, Interpretation, Normalization, Parity, Signature, Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kit.calibration import CalibrationSet

_COMPARED = 4
"""So many pictures, or random inputs, go through both."""

_LEAST_COSINE = 0.9
"""Below it, whatever is told of the difference, the file does not answer as the network does."""

_SMALLEST_ROW, _LOST = 0.1, 0.9
"""A row of an output counts where it reaches the first; it is lost where it is off by that share of what it reaches."""

_CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to export, and how. ``pixels`` and ``color`` say what the network's pictures are made of: for real ones."""

    source: str
    format: str
    output: Path | None = None
    precision: str | None = None
    weights: str | None = None
    input_shape: tuple[int, ...] | None = None
    pictures: CalibrationSet | None = None
    pixels: Normalization = field(default_factory=Normalization)
    color: str = "rgb"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, how it was checked, and how far it is from the network."""

    path: Path
    format: str
    precision: str
    bytes: int
    checked: str
    parity: Parity
    notes: tuple[str, ...]
    tools: dict[str, str]
    seconds: float


def export(wanted: Wanted, progress: Progress | None = None) -> Exported:
    """Convert, compare, and put the result at its place in one step; what stood there stands until then.

    Raises a ``KitError``: ``UsageError`` and ``CalibrationError`` before any work, ``UnsupportedModelError`` where the
    format cannot hold the network, ``ParityError`` where it answers something else.
    """
    start, progress = time.perf_counter(), progress or Silent()
    exporter = exports.get(wanted.format)
    precision = _precision(wanted, exporter)
    source = _source(wanted)
    name = sources.resolve(wanted.source).model_name(wanted.source)
    place = wanted.output or Path(name + exporter.suffix)
    _require_place(place, exporter)
    live = source.live(wanted.source, wanted.input_shape, wanted.weights)
    environment = environments.ensure(exporter.name, progress.note)
    with workspace.opened(place) as work:
        job = _job(live, precision, wanted, work / "program.pt2")
        made = work / place.name
        with progress.working("export"), Worker(environment, exporter.script) as worker:
            notes = exporter.convert(job, worker, made, lambda _: None)
        progress.done("export", f"{exporter.name} {precision}", time.perf_counter() - start, cached=False)
        parity = _compare(exporter, job, live, wanted, made)
        size = sum(file.stat().st_size for file in (made, *made.rglob("*")) if file.is_file())
        with disk.translated(place.parent):
            _publish(made, place)
    tools = {tool: tool_version(tool) for tool in exporter.tools}
    return Exported(
        path=place, format=exporter.name, precision=precision, bytes=size, checked=exporter.checked, parity=parity,
        notes=notes, tools=tools, seconds=time.perf_counter() - start,
    )  # fmt: skip


def _precision(wanted: Wanted, exporter: Exporter) -> str:
    precision = wanted.precision or exporter.precisions[0]
    if precision not in exporter.precisions:
        choices = ", ".join(exporter.precisions)
        raise UsageError(f"{exporter.name} has no {precision}; choose from {choices}")
    if precision in exporter.calibrated and wanted.pictures is None:
        raise CalibrationError(
            f"{exporter.name} in {precision} takes its ranges from real pictures: give --calibration, a folder, a COCO "
            "set or a video"
        )
    return precision


def _source(wanted: Wanted) -> TorchSource:
    """Return the source, which must be one of PyTorch: both formats are converted from its programs."""
    source = sources.resolve(wanted.source)
    if not isinstance(source, TorchSource):
        raise UsageError(
            f"{wanted.source} is no network of PyTorch, and {wanted.format} is converted from one (coremltools and "
            "litert-torch read no ONNX); give package.module:callable, timm:NAME or a .pt2 file"
        )
    if wanted.input_shape is not None and not source.needs_shape:
        raise UsageError(f"{wanted.source} says itself what it takes; leave out --input-shape")
    if wanted.weights is not None and not source.takes_weights:
        raise UsageError(f"{wanted.source} has its weights inside; leave out --weights")
    return source


def _require_place(place: Path, exporter: Exporter) -> None:
    if place.suffix != exporter.suffix:
        raise UsageError(f"--output {place} does not end in {exporter.suffix}, by which {exporter.name} is known")
    if place.exists() and place.is_dir() != (exporter.suffix == ".mlpackage"):
        raise UsageError(f"--output {place} is {'a folder' if place.is_dir() else 'a file'}; give another name")


def _job(live: Live, precision: str, wanted: Wanted, program: Path) -> Job:
    """Write the network as a program with a batch of 1, which the environment reads without the user's code."""
    import torch

    try:
        made = torch.export.export(live.module, live.examples)
        torch.export.save(made, program)
    except Exception as error:  # what torch.export raises is anything
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"torch.export could not read {wanted.source}: {reason}") from error
    pictures = tuple(n for n, v in zip(live.inputs, live.examples, strict=True) if _is_picture(v))
    calibration = None if wanted.pictures is None else lambda: _calibrating(live, wanted, None)
    return Job(
        program=program, inputs=live.inputs, outputs=live.outputs, pictures=pictures, precision=precision,
        calibration=calibration,
    )  # fmt: skip


def _is_picture(value: Any) -> bool:
    return value.ndim == 4 and value.shape[1] in _CHANNELS and value.is_floating_point()


def _calibrating(live: Live, wanted: Wanted, most: int | None) -> Iterator[Arrays]:
    """Yield the user's pictures as the network takes them. Raises ``UsageError`` where it takes something else."""
    if len(live.examples) != 1 or not _is_picture(live.examples[0]):
        raise UsageError(f"{wanted.source} takes no single picture, so that it cannot be calibrated on pictures")
    assert wanted.pictures is not None
    name, (_, channels, height, width) = live.inputs[0], live.examples[0].shape
    taken = Tensor(name=name, dtype=DataType.FP32, shape=(-1, channels, height, width))
    meaning = Interpretation(
        task="raw", head="raw", contract="served", class_count=None, normalization=wanted.pixels, color=wanted.color,
        thresholds=None, reason="",
    )  # fmt: skip
    yield from islice(wanted.pictures.feeds(Signature(inputs=(taken,), outputs=()), 1, meaning), most)


def _compare(exporter: Exporter, job: Job, live: Live, wanted: Wanted, made: Path) -> Parity:
    """Hold the written file against the network. Raises ``ParityError``."""
    from kit import compare

    if wanted.pictures is not None:
        kind, feeds = "images", list(_calibrating(live, wanted, _COMPARED))
    else:
        kind, feeds = "random", [_random(live, seed) for seed in range(_COMPARED)]
    found: list[Difference] = []
    answers: list[tuple[Arrays, Arrays]] = []
    with runners.open(str(made)) as running:
        for given in feeds:
            expected, got = live.run(dict(given)), running.run(exporter.feeds(job, given))
            _require_outputs(exporter, expected, got)
            found += [compare.difference(name, value, got[name]) for name, value in expected.items()]
            answers.append((expected, got))
    allowed = exporter.tolerances[job.precision]
    for one in found:
        if one.nan or one.cosine < _LEAST_COSINE or (allowed is not None and one.relative > allowed):
            raise ParityError(
                f"{exporter.name}: {one.output} differs from PyTorch's by {one.maximum:.3g} ({one.relative:.3g} of its "
                f"range, allowed {allowed or 'any'}), cosine {one.cosine:.4f}, {one.nan} NaN; nothing was written"
            )
    _require_rows(exporter, answers)
    return Parity(stage=exporter.name, inputs=kind, tolerance=allowed or 0.0, differences=tuple(found))


def _require_outputs(exporter: Exporter, expected: Arrays, got: Arrays) -> None:
    for name, value in expected.items():
        if name not in got or got[name].shape != value.shape:
            shape = "nothing" if name not in got else f"{list(got[name].shape)}"
            raise UnsupportedModelError(f"{exporter.name} gives {shape} for {name}, which is {list(value.shape)}")


def _require_rows(exporter: Exporter, answers: list[tuple[Arrays, Arrays]]) -> None:
    """Refuse an output in which rows are lost that are small beside others: scores beside boxes, in one scale.

    The difference of the whole output would not show it, nor its cosine.
    """
    import numpy as np

    for name in (n for n, value in answers[0][0].items() if value.ndim > 2):
        before, after = (np.stack([_rows(one[side][name]) for one in answers], axis=1) for side in (0, 1))
        ranges = np.abs(before).max(axis=(1, 2))
        apart = np.abs(before - after).max(axis=(1, 2))
        lost = (ranges > _SMALLEST_ROW) & (apart > _LOST * ranges)
        if lost.any():
            raise ParityError(
                f"{exporter.name}: {int(lost.sum())} of the {len(lost)} rows of {name} are lost: they are small beside "
                "others, with which they share one scale; let the network give them as outputs of their own"
            )


def _rows(value: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return [1, C, ...] as [C, numbers of each]."""
    import numpy as np

    return np.moveaxis(value.astype(np.float64), 1, 0).reshape(value.shape[1], -1)


def _random(live: Live, seed: int) -> Arrays:
    """Return reproducible inputs of the examples' shapes: [0, 1) where they are floats, else the examples."""
    import numpy as np

    generator = np.random.default_rng(seed)
    return {
        name: generator.random(value.shape, np.float32) if value.is_floating_point() else value.numpy()
        for name, value in zip(live.inputs, live.examples, strict=True)
    }


def _publish(made: Path, place: Path) -> None:
    """Put what was made at its place in one step."""
    place.parent.mkdir(parents=True, exist_ok=True)
    disk.sync_tree(made) if made.is_dir() else disk.sync(made)
    if not place.exists():
        made.rename(place)
    elif made.is_dir():
        if not disk.exchange(made, place):
            shutil.rmtree(place)
            made.rename(place)
    else:
        made.replace(place)
