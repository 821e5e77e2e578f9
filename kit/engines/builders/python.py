"""TensorRT's Python API, where this Python has it: no container, and the quickest to start."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kit import latency
from kit.engines import failures, gpus, library, versions
from kit.engines.builders.interface import Arrays, Built, Files
from kit.engines.provenance import Gpu, Timing
from kit.engines.recipe import Recipe

_WARM_UP = {"seconds": 0.5, "least": 5}
_MEASURE = {"seconds": 3.0, "least": 20}
_DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11")


class Python:
    """Builds in a process of its own, under the Python that the kit runs in."""

    name = "python"

    def unavailable(self, recipe: Recipe) -> str | None:
        """No tensorrt here, no GPU, or a release that the target's image has not."""
        own = _installed()
        if own is None:
            return "the package tensorrt is not installed in this Python"
        if gpus.found() is None:
            return "no NVIDIA GPU is here"
        return versions.other_release("Python's tensorrt", own, recipe.tensorrt, recipe.version_compatible)

    def commands(self, recipe: Recipe, files: Files) -> tuple[tuple[str, ...], ...]:
        """The call of the kit's own script, with what it is given."""
        given = (f"{key}={value}" for key, value in options(recipe, files).items())
        return ((sys.executable, str(library.SCRIPT), "build", *given),)

    def build(self, recipe: Recipe, files: Files, samples: Mapping[int, Arrays]) -> Built:
        """Build, load and run the engine."""
        given = options(recipe, files)
        with library.running(library.own()) as tensorrt:
            told = tensorrt.call("build", given)
            if not files.plan.is_file():
                raise failures.error(tuple(told.data["errors"]))
            loaded = {key: given[key] for key in ("module", "plan", "dla_core", "version_compatible")}
            timings, answers = [], {}
            for batch, feeds in samples.items():
                done = _answered(tensorrt, loaded, feeds)
                found = latency.percentiles([ms / 1e3 for ms in done.data["milliseconds"]])
                mean_ms = sum(done.data["milliseconds"]) / found.answers
                timings.append(
                    Timing(batch=batch, p50_ms=found.p50_ms, p90_ms=found.p90_ms, p99_ms=found.p99_ms,
                           per_second=1e3 / mean_ms)
                )  # fmt: skip
                answers[batch] = done.arrays
        here = gpus.found() or Gpu(name=None, compute_capability=None, driver=None)
        return Built(
            tensorrt=versions.release(told.data["version"]), gpu=here, image=None,
            arguments=tuple(f"{key}={value}" for key, value in given.items() if key not in ("onnx", "plan")),
            seconds=told.data["seconds"], timings=tuple(timings), answers=answers,
        )  # fmt: skip


def options(recipe: Recipe, files: Files) -> dict[str, Any]:
    """Return what the script is given to build an engine: names of enumerators, as this version has them."""
    how = versions.of(recipe.tensorrt).typing
    strong = how == "option" or (how == "flags" and recipe.strongly_typed)
    network = ["STRONGLY_TYPED"] if strong else []
    if versions.numbers(recipe.tensorrt) < (10,):
        network.append("EXPLICIT_BATCH")
    builder = [n.upper() for n in sorted(recipe.precisions)] if how == "flags" and not strong else []
    builder += ["GPU_FALLBACK"] if recipe.dla_core is not None else []
    builder += ["VERSION_COMPATIBLE"] if recipe.version_compatible else []
    return {
        "module": "tensorrt",
        "onnx": str(files.onnx),
        "plan": str(files.plan),
        "shapes": {s.name: [s.least, s.usual, s.most] for s in recipe.shapes},
        "network_flags": network,
        "builder_flags": builder,
        "workspace_bytes": recipe.workspace_mib << 20,
        "timing_cache": str(files.timing_cache),
        "dla_core": recipe.dla_core,
        "version_compatible": recipe.version_compatible,
    }


def _answered(tensorrt: library.Library, loaded: Mapping[str, Any], feeds: Arrays) -> Any:
    tensorrt.call("answer", {**loaded, **_WARM_UP}, feeds)
    return tensorrt.call("answer", {**loaded, **_MEASURE}, feeds)


def _installed() -> str | None:
    for name in _DISTRIBUTIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


MEMBER = Python()
