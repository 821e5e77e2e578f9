"""Builds and asks an engine by running trtexec, here or in a container: what both have in common."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.engines import failures, gpus, trtexec, versions
from kit.engines.builders.interface import Arrays, Built, Files
from kit.engines.provenance import Gpu
from kit.engines.recipe import Recipe
from kit.engines.trtexec import Places
from kit.errors import EngineBuildError
from kit.types import Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LOG = "trtexec.log"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How trtexec is started: ``command`` puts that in front of its arguments, ``places`` are as it sees them.

    ``ended`` is called where a run was interrupted.
    """

    places: Places
    command: Callable[[tuple[str, ...]], tuple[str, ...]]
    image: str | None = None
    ended: Callable[[], None] = lambda: None


def commands(recipe: Recipe, way: Way) -> tuple[tuple[str, ...], ...]:
    """Return every command line of a build: the build itself, then one for each batch size that is measured."""
    built = way.command(trtexec.build_arguments(recipe, way.places))
    return (built, *(way.command(_measure(recipe, way.places, batch)) for batch in recipe.batches))


def build(recipe: Recipe, files: Files, samples: Mapping[int, Arrays], way: Way) -> Built:
    """Build, time and ask an engine. Raises ``EngineBuildError`` and ``OutOfMemoryError``."""
    first, *measuring = commands(recipe, way)
    start = time.perf_counter()
    output = run(first, files.folder, way.ended)
    seconds = time.perf_counter() - start
    if not files.plan.is_file():
        raise EngineBuildError("trtexec ended well and wrote no engine; run it as --dry-run shows it and look")
    timings, answers = [], {}
    for batch, command in zip(recipe.batches, measuring, strict=True):
        _write(files.folder, batch, recipe, samples.get(batch, {}))
        told = run(command, files.folder, way.ended)
        timings.append(trtexec.timing(told, batch))
        answers[batch] = _answers(told, files.folder, recipe.signature.outputs)
    seen, here = trtexec.seen(output), gpus.found() or Gpu(name=None, compute_capability=None, driver=None)
    gpu = Gpu(
        name=seen.device or here.name,
        compute_capability=seen.compute_capability or here.compute_capability,
        driver=here.driver,
    )
    return Built(
        tensorrt=seen.tensorrt or versions.release(recipe.tensorrt), gpu=gpu, image=way.image, arguments=first,
        seconds=seconds, timings=tuple(timings), answers=answers,
    )  # fmt: skip


def run(command: tuple[str, ...], folder: Path, ended: Callable[[], None] = lambda: None) -> str:
    """Run a command in ``folder`` and return what it says.

    Raises ``EngineBuildError`` and ``OutOfMemoryError`` where it fails. Nothing of it runs on after an interruption.
    """
    log = folder / _LOG
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal reaches the kit only, and the kit decides
            )  # fmt: skip
        except OSError as error:
            raise EngineBuildError(f"{command[0]} cannot be run: {error.strerror}; install it, or mend PATH") from error
        try:
            code = process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ended()
            raise
    output = log.read_text(encoding="utf-8", errors="replace")
    if code != 0:
        lines = trtexec.errors(output) or tuple(line for line in output.splitlines() if line.strip())
        raise failures.error(lines, code=code, tool=Path(command[0]).name)
    return output


def _measure(recipe: Recipe, places: Places, batch: int) -> tuple[str, ...]:
    """Return trtexec's arguments for one batch size; the inputs lie where the ONNX does."""
    folder = places.onnx.rpartition("/")[0]
    inputs = {s.name: f"{folder}/{_input_file(index, batch)}" for index, s in enumerate(recipe.shapes)}
    return trtexec.measure_arguments(recipe, places, batch, inputs)


def _input_file(index: int, batch: int) -> str:
    """Return a file name that holds nothing of the input's own name, which may have slashes."""
    return f"input-{index}-batch-{batch}.bin"


def _write(folder: Path, batch: int, recipe: Recipe, feeds: Arrays) -> None:
    for index, shapes in enumerate(recipe.shapes):
        (folder / _input_file(index, batch)).write_bytes(feeds[shapes.name].tobytes())


def _answers(output: str, folder: Path, tensors: tuple[Tensor, ...]) -> Arrays:
    """Return the outputs that trtexec wrote, by name."""
    wanted = {tensor.name: tensor for tensor in tensors}
    found = {
        dumped.name: _array(folder / Path(dumped.file).name, wanted[dumped.name], dumped.shape)
        for dumped in trtexec.dumped(output)
        if dumped.name in wanted
    }
    if missing := sorted(set(wanted) - set(found)):
        raise EngineBuildError(f"the engine gives no {', '.join(missing)}; generate the model again")
    return found


def _array(file: Path, tensor: Tensor, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Return an output from its bytes. TensorRT before 10 knows no INT64 and gives INT32 instead."""
    import numpy as np

    data, dtype = file.read_bytes(), np.dtype(tensor.dtype.numpy_name)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == np.int64 and len(data) == count * 4:
        dtype = np.dtype(np.int32)
    if len(data) != count * dtype.itemsize:
        raise EngineBuildError(
            f"the engine gives {tensor.name} in {len(data)} bytes, where {list(shape)} of {dtype} has "
            f"{count * dtype.itemsize}; generate the model again"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(tensor.dtype.numpy_name)
