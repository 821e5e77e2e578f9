"""The files that Triton loads: built for each target, held against the graph that they are of, and named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kit import environments, inputs, summary, targets
from kit.built import Built
from kit.cache import Key
from kit.inputs import Recipe
from kit.runtimes.interface import Runtime
from kit.stages import Stages
from kit.targets.values import Target
from kit.types import Artifact, Graphs, Model


def build(model: Model, target: Target, runtime: Runtime, stages: Stages) -> Artifact:
    """Return what ``runtime`` loads on ``target``, from the cache where it was made before."""
    key = Key(
        stage=f"build {runtime.name}", inputs=(model.digest,), parameters=targets.used_facts(target, runtime.name),
        tools=runtime.tools,
    )  # fmt: skip

    def work(folder: Path) -> Artifact:
        environments.prepare(runtime.tools, stages.progress.note)
        return runtime.build(model, target, folder)

    return stages.quietly(key, Artifact, work)


def check(
    artifact: Artifact,
    precise: Model,
    graphs: Graphs,
    target: Target,
    runtime: Runtime,
    images: tuple[Path, ...],
    stages: Stages,
) -> None:
    """Hold what was built in another format against the graph that it was built of. Raises ``ParityError``."""
    if artifact.portable.digest == precise.digest:
        return
    sizes = inputs.batch_sizes(precise.signature, 2)
    recipe = Recipe(signature=precise.signature, count=max(sizes), images=images)

    def work(folder: Path) -> Built:
        from kit import built

        return built.check(graphs, precise, runtime, target, recipe.make(), sizes, folder)

    key = Key(
        stage=runtime.name, inputs=(precise.digest, graphs.network.digest, recipe.digest()),
        parameters=(graphs.meaning, sizes, targets.used_facts(target, runtime.name)),
        tools=(*runtime.tools, "onnxruntime", "numpy"),
    )  # fmt: skip
    stages.cached(key, Built, work, lambda found: summary.built(found, runtime.title))


def apart(every: Mapping[str, Artifact]) -> Mapping[str, Artifact]:
    """Return each target's files under names that differ where the files do: ``model.<target>.onnx``."""
    digests: dict[str, set[str]] = {}
    for artifact in every.values():
        digests.setdefault(artifact.filename, set()).add(artifact.digest)
    shared = {filename for filename, found in digests.items() if len(found) == 1}
    return {name: a if a.filename in shared else _named_after(a, name) for name, a in every.items()}


def _named_after(artifact: Artifact, target: str) -> Artifact:
    def renamed(filename: str) -> str:
        path = Path(filename)
        return f"{path.stem}.{target}{path.suffix}"

    beside = tuple(replace(file, filename=renamed(file.filename)) for file in artifact.beside)
    return replace(artifact, filename=renamed(artifact.filename), beside=beside)
