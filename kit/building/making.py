"""Builds one engine, holds it to ONNX Runtime's answers and puts it in."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kit import disk, inputs, paths, workspace
from kit.building import placing
from kit.building.tasks import Asked, Task
from kit.cache import file_digest
from kit.engines import agreement, builders, provenance, versions
from kit.engines.builders.interface import Arrays, Builder, Built, Files
from kit.engines.provenance import Agreement, BuiltShapes, Provenance, Timing, Wanted
from kit.engines.recipe import Recipe
from kit.errors import EngineBuildError, EngineMismatchError
from kit.inputs import Recipe as Samples
from kit.progress import Progress, Silent

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, kw_only=True)
class Made:
    """An engine that stands at ``plan``; ``new`` tells whether this run built it."""

    plan: Path
    made: Provenance
    new: bool


def make(task: Task, asked: Asked, progress: Progress | None = None) -> Made:
    """Build an engine and put it in, unless one of the same recipe is there.

    Raises ``EngineBuildError``, ``EngineMismatchError``, ``OutOfMemoryError`` and a ``RepositoryError``; then the
    repository is as it was.
    """
    start, progress = time.perf_counter(), progress or Silent()
    standing = None if asked.force else _standing(task)
    if standing is not None:
        progress.done("build", f"{task.plan} is current", time.perf_counter() - start, cached=True)
        return Made(plan=task.plan, made=standing, new=False)
    builder = builders.choose(task.recipe, asked.builder)
    with workspace.opened(task.published.path.parent) as work:
        files = _files(task, asked, workspace.scratch_folder(work))
        samples = _samples(task.recipe, asked)
        with progress.working(f"build {task.recipe.model}: minutes"):
            built = builder.build(task.recipe, files, samples)
        _require_right_machine(task.recipe, built)
        progress.done("build", _told(task, builder, built, files), built.seconds, cached=False)
        progress.done("measure", _told_times(built.timings), time.perf_counter() - start - built.seconds, cached=False)
        start = time.perf_counter()
        seen = _agreement(task, built, samples)
        progress.done("compare", _told_agreement(seen, asked), time.perf_counter() - start, cached=False)
        if _is_empty(seen):
            progress.note("an engine was not seen to detect anything: compare it on real pictures, with --images DIR")
        start = time.perf_counter()
        made = _provenance(task, builder, built, files, seen)
        placing.put(work, task, files.plan, made)
        progress.done("publish", str(task.plan), time.perf_counter() - start, cached=False)
    return Made(plan=task.plan, made=made, new=True)


def _told(task: Task, builder: Builder, built: Built, files: Files) -> str:
    size = files.plan.stat().st_size / 1e6
    gpu = f"{built.gpu.name or 'a GPU'} ({built.gpu.compute_capability or '?'})"
    return f"{task.recipe.plan}, {size:.1f} MB, by TensorRT {built.tensorrt} on {gpu} with {builder.name}"


def _told_times(timings: tuple[Timing, ...]) -> str:
    parts = (
        f"batch {t.batch}: {t.p50_ms:.2f} ms, p99 {t.p99_ms:.2f} ms, {t.per_second * t.batch:.0f}/s" for t in timings
    )
    return "; ".join(parts)


def _is_empty(seen: tuple[Agreement, ...]) -> bool:
    """Tell whether neither the engine nor ONNX Runtime detected anything."""
    rows = [one for one in seen if one.output == agreement.DETECTIONS]
    return bool(rows) and not any(one.count for one in rows)


def _told_agreement(seen: tuple[Agreement, ...], asked: Asked) -> str:
    frames = "images" if asked.images else "random inputs"
    if _is_empty(seen):
        return f"nothing is detected in {frames}, as by ONNX Runtime"
    rows = [one for one in seen if one.output == agreement.DETECTIONS]
    how = [f"{1 - sum(r.differing for r in rows) / sum(r.count for r in rows):.1%} of detections agree"] if rows else []
    others = [one for one in seen if one not in rows]
    how += [f"cosine at least {min(one.cosine for one in others):.5f}"] if others else []
    return f"answers as ONNX Runtime does on {frames}: {', '.join(how)}"


def commands(task: Task, asked: Asked) -> tuple[tuple[str, ...], ...]:
    """Return the command lines of a build, without running any: those of the builder that could run here.

    Where none can, those of the container, which is how a device without TensorRT of its own builds.
    """
    builder = builders.get(asked.builder or "docker")
    if asked.builder is None:
        for name in ("python", "trtexec"):
            if name in builders.names() and builders.get(name).unavailable(task.recipe) is None:
                builder = builders.get(name)
                break
    folder = Path("/tmp/kit-build")  # noqa: S108 (a name to show)
    return builder.commands(task.recipe, _places(task.recipe, asked, folder))


def _standing(task: Task) -> Provenance | None:
    """Return what is known of the engine that is there, if it is what this recipe would give."""
    recipe = task.recipe
    wanted = Wanted(
        model=recipe.model, target=recipe.target.name, tensorrt=recipe.tensorrt, onnx=recipe.onnx_digest,
        max_batch_size=recipe.max_batch_size, gpu=None, remedy="",
    )  # fmt: skip
    try:
        provenance.require(task.plan, wanted)
    except EngineMismatchError:
        return None
    made = provenance.read(task.plan)
    return made if made is not None and made.recipe == _recipe_digest(recipe) else None


def _files(task: Task, asked: Asked, folder: Path) -> Files:
    """Put the ONNX into the folder of the build."""
    import onnx

    files = _places(task.recipe, asked, folder)
    with disk.translated(folder):
        files.timing_cache.parent.mkdir(parents=True, exist_ok=True)
        if task.recipe.static and any(-1 in t.shape for t in task.recipe.signature.inputs):
            proto = onnx.load(str(task.onnx))
            _fix(proto, task.recipe)
            onnx.save(proto, str(files.onnx))
        else:
            disk.link_or_copy(task.onnx, files.onnx)
    return files


def _places(recipe: Recipe, asked: Asked, folder: Path) -> Files:
    release = versions.release(recipe.tensorrt)
    return Files(
        folder=folder,
        onnx=folder / "model.onnx",
        plan=folder / recipe.plan,
        timing_cache=paths.cache_root() / "engines" / f"{recipe.target.name}-{release}.timing",
        image=asked.image,
    )


def _fix(proto: onnx.ModelProto, recipe: Recipe) -> None:
    """Write the fixed shapes into a graph: an engine whose inputs vary is not shared between instances.

    https://github.com/triton-inference-server/tensorrt_backend/blob/main/src/model_state.cc, ``CreateEngine``
    """
    fixed = {shapes.name: shapes.most for shapes in recipe.shapes}
    for value in proto.graph.input:
        for dimension, size in zip(value.type.tensor_type.shape.dim, fixed.get(value.name, ()), strict=False):
            dimension.dim_value = size
    del proto.graph.value_info[:]
    if recipe.max_batch_size > 0:
        for value in proto.graph.output:
            value.type.tensor_type.shape.dim[0].dim_value = recipe.max_batch_size


def _samples(recipe: Recipe, asked: Asked) -> Mapping[int, Arrays]:
    """Return what the engine is asked, by batch size: images where there are some, else random numbers."""
    images = inputs.images_in(asked.images) if asked.images else ()
    usual = recipe.at(1) if recipe.max_batch_size == 0 else {n: (-1, *s[1:]) for n, s in recipe.at(1).items()}
    fixed = replace(recipe.signature, inputs=tuple(replace(t, shape=usual[t.name]) for t in recipe.signature.inputs))
    made = Samples(signature=fixed, count=max(recipe.batches), images=images).make()
    if recipe.max_batch_size == 0:
        return {1: made.feeds}
    return {size: {n: array[:size].copy() for n, array in made.feeds.items()} for size in recipe.batches}


def _require_right_machine(recipe: Recipe, built: Built) -> None:
    """Refuse an engine that the target could not load. Raises ``EngineMismatchError``."""
    same = versions.release(built.tensorrt) == versions.release(recipe.tensorrt)
    if not same and not recipe.version_compatible:
        raise EngineMismatchError(
            f"TensorRT {built.tensorrt} built the engine, and {recipe.target.name} serves with {recipe.tensorrt}; give "
            "--builder docker to build in the image that serves, or correct stack.tensorrt_version in the target's file"
        )
    wanted, here = recipe.target.device.compute_capability, built.gpu.compute_capability
    if None not in (wanted, here) and wanted != here:
        raise EngineMismatchError(
            f"the engine was built for compute capability {here}, and {recipe.target.name} has {wanted}; build on the "
            "device"
        )


def _agreement(task: Task, built: Built, samples: Mapping[int, Arrays]) -> tuple[Agreement, ...]:
    """Hold the engine's answers against ONNX Runtime's. Raises ``EngineBuildError``."""
    from kit import compare

    run, asked = compare.runner(task.onnx), agreement.least(task.recipe.precisions)
    found: tuple[Agreement, ...] = ()
    for batch, answers in built.answers.items():
        found += agreement.compare(run(dict(samples[batch])), answers, batch, asked)
    problems = tuple(agreement.problems(found, asked))
    if problems:
        weak = task.recipe.precisions and not task.recipe.strongly_typed
        way = "; try --strongly-typed, which keeps every precision of the graph" if weak else ""
        raise EngineBuildError(
            f"the engine answers otherwise than ONNX Runtime does: {problems[0]}{way}; or generate the model with a "
            "higher --precision"
        )
    return found


def _recipe_digest(recipe: Recipe) -> str:
    """Return a digest of everything that a build depends on, by which an engine is known to be current."""
    import hashlib

    target = recipe.target
    facts = (target.name, target.stack.tensorrt_version, target.device.compute_capability)
    own = {name: value for name, value in vars(recipe).items() if name != "target"}
    text = json.dumps([facts, msgspec.to_builtins(own)], sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()


def _provenance(task: Task, builder: Builder, built: Built, files: Files, seen: tuple[Agreement, ...]) -> Provenance:
    recipe = task.recipe
    return Provenance(
        plan=file_digest(files.plan),
        onnx=recipe.onnx_digest,
        recipe=_recipe_digest(recipe),
        target=recipe.target.name,
        builder=builder.name,
        image=built.image,
        tensorrt=built.tensorrt,
        version_compatible=recipe.version_compatible,
        gpu=built.gpu,
        arguments=tuple(argument.replace(str(files.folder), ".") for argument in built.arguments),
        precisions=tuple(sorted(recipe.precisions)),
        max_batch_size=recipe.max_batch_size,
        shapes=tuple(BuiltShapes(input=s.name, least=s.least, usual=s.usual, most=s.most) for s in recipe.shapes),
        dla_core=recipe.dla_core,
        bytes=files.plan.stat().st_size,
        seconds=round(built.seconds, 1),
        timings=built.timings,
        agreement=seen,
    )
