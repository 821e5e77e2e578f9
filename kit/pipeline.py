"""The whole path from a model to a published repository: ``generate``, one line per stage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit import (
    ahead,
    artifacts,
    contract,
    drafting,
    inputs,
    labels,
    loading,
    lowering,
    manifest,
    planning,
    render,
    report,
    repository,
    runtimes,
    simplify,
    sources,
    summary,
    targets,
    tasks,
    verify,
    workspace,
)
from kit.answered import Answered
from kit.bench import Bench
from kit.cache import Key
from kit.inputs import Recipe
from kit.lowering import Lowering
from kit.manifest import Manifest
from kit.pictures import Pictures
from kit.planning import Options, Plan
from kit.progress import Progress, Silent
from kit.repository import Content
from kit.sources.interface import Loaded
from kit.standby import Standby
from kit.targets.values import Target
from kit.types import Artifact, Entry, Graphs, Interpretation, Model, Parity, Spec, Verification
from kit.verify import Candidate, Verifier

if TYPE_CHECKING:
    from kit.quality.values import Quality


@dataclass(frozen=True, kw_only=True)
class Result:
    """What stands at ``entry.path`` now (``entry.changed`` tells whether it is new), and what is known of it.

    ``quality`` is what was measured of lower precisions, if any was asked for, and ``page`` where people read it.
    """

    entry: Entry
    manifest: Manifest
    parity: tuple[Parity, ...]
    report: Path
    seconds: float
    quality: Quality | None = None
    page: Path | None = None


def generate(spec: Spec, options: Options, progress: Progress | None = None) -> Result:
    """Make a model's folder and publish it; what stood there stands until the new one is whole.

    Raises a ``KitError`` that says which stage failed and why.
    """
    start, progress = time.perf_counter(), progress or Silent()
    try:
        return _generate(spec, options, progress, start)
    except simplify.UnfaithfulError as error:
        progress.note(f"not simplified, {error}; once more with the graph as it was read")
    # What this run has made is in the cache, also where nothing was to be taken from there.
    return _generate(spec, replace(options, use_cache=True), progress, start)


def _generate(spec: Spec, options: Options, progress: Progress, start: float) -> Result:
    plan = planning.prepare(spec, options, progress)
    with (
        plan.stages.cache.in_use(),
        workspace.opened(options.output) as work,
        Standby(workspace.staging_root(work), plan.stages.progress.note, _backends(plan)) as standby,
    ):
        graphs = _convert(plan, _load(plan, workspace.scratch_folder(work), standby))
        lowerings, quality, page = _lower(plan, graphs, work)
        files = artifacts.apart({name: made.artifact for name, made in lowerings.items()})
        content = _render(plan, graphs, lowerings, files)
        draft = _draft(plan, graphs, lowerings, files, content)
        entry = repository.stage(work, draft, plan.published, content)
        parity, seen = _prove(plan, graphs, files, content, entry, standby)
        evidence = manifest.with_evidence(draft, manifest.summarize(parity), seen)
        finished = repository.complete(evidence, plan.published, content)
        entry = _publish(plan, entry, finished)
        if not entry.changed and plan.published.manifest is not None:
            finished = plan.published.manifest  # that may have been verified when this run was told not to
        seconds = time.perf_counter() - start
        written = report.write(options.output, work, finished, parity, plan.stages.times, seconds)
    return Result(
        entry=entry, manifest=finished, parity=parity, report=written, seconds=seconds, quality=quality, page=page
    )


def _load(plan: Plan, scratch: Path, standby: Standby) -> Loaded:
    """Read the source as ONNX, with a free batch where that can be proved.

    The server that will be asked about a model nobody has seen before is started meanwhile.
    """
    spec, stages = plan.spec, plan.stages
    loaded = loading.load(spec, plan.options.input_shape, stages, scratch, lambda: _expect_questions(plan, standby))
    single = all(spec.on(name).max_batch_size == 0 for name in spec.targets)
    return loaded if single else loading.make_batch_variable(loaded, stages)


def _expect_questions(plan: Plan, standby: Standby) -> None:
    if plan.options.verify != "none":
        # Where this process is at work itself, two threads that import take longer than one.
        standby.begin(ahead.make_ready if sources.resolve(plan.spec.source).elsewhere else None)


def _convert(plan: Plan, loaded: Loaded) -> Graphs:
    """Simplify the network, decide what it means, put the contract around it."""
    stages, original = plan.stages, loaded.model
    network = loading.simplified(original, stages)
    meaning = stages.cached(
        Key(stage="interpret", inputs=(network.digest,), parameters=_meaning_parameters(plan.spec)),
        Interpretation,
        lambda _: contract.interpret(plan.spec, network),
        lambda found: summary.meaning(plan.spec, found, network),
    )
    served = stages.cached(
        Key(stage="contract", inputs=(network.digest,), parameters=meaning, tools=drafting.GRAPH_TOOLS),
        Model,
        lambda folder: contract.fuse(network, meaning, folder),
        summary.signature,
    )
    return Graphs(
        source_digest=loaded.digest,
        original=original,
        reference=loaded.reference,
        network=network,
        meaning=meaning,
        served=served,
    )


def _lower(plan: Plan, graphs: Graphs, folder: Path) -> tuple[Mapping[str, Lowering], Quality | None, Path | None]:
    """Give each target the lowest precision that was asked for and is proved, and write the quality report.

    Raises ``AccuracyError`` where the only one that was asked for does not hold.
    """
    spec, stages = plan.spec, plan.stages
    wanted = {target.name: planning.precision_of(spec, target) for target in plan.targets}
    pictures = lowering.pictures(spec, graphs, wanted.values(), stages)
    made, quality, page = {}, None, None
    for bench in (_bench(plan, graphs, pictures, target) for target in plan.targets):
        made[bench.target.name] = lowering.choose(bench, wanted[bench.target.name])
    if pictures is not None:
        from kit import appraisal
        from kit.quality import writing

        quality = appraisal.quality(spec, graphs.meaning.task, pictures, made, wanted)
        written = writing.write(quality, plan.options.output, folder)
        page = None if written is None else written.html
        lowering.require_held(made, page)
    for target in plan.targets:
        _check(plan, graphs, target, made[target.name])
    return made, None if quality is None else quality.without_pictures(), page


def _bench(plan: Plan, graphs: Graphs, pictures: Pictures | None, target: Target) -> Bench:
    spec = plan.spec.on(target.name)
    runtime = runtimes.choose(target, spec.runtime)
    return Bench(
        spec=spec, graphs=graphs, pictures=pictures, target=target, runtime=runtime, stages=plan.stages
    )  # fmt: skip


def _check(plan: Plan, graphs: Graphs, target: Target, made: Lowering) -> None:
    """Hold what was made for a target to what is known without a server of its kind."""
    if made.artifact.engine is not None:
        from kit.building import reading

        reading.require(made.artifact, plan.stages)
    runtime = runtimes.choose(target, plan.spec.on(target.name).runtime)
    artifacts.check(made.artifact, made.model, graphs, target, runtime, plan.images, plan.stages)


def _backends(plan: Plan) -> tuple[str, ...]:
    return tuple(runtimes.choose(target, plan.spec.on(target.name).runtime).name for target in plan.targets)


def _render(plan: Plan, graphs: Graphs, lowerings: Mapping[str, Lowering], files: Mapping[str, Artifact]) -> Content:
    """Write every text of the model's folder but the manifest."""
    names = labels.find(plan.spec.labels, graphs.network, graphs.meaning)
    texts = {
        f"configs/{target.name}.pbtxt": _config(
            _as_made(plan, target, lowerings[target.name]), graphs, target, files[target.name], labelled=bool(names)
        )
        for target in plan.targets
    }
    texts["config.pbtxt"] = texts[f"configs/{plan.targets[0].name}.pbtxt"]
    if plan.spec.labels and graphs.meaning.class_count is None and tasks.get(graphs.meaning.task).labelled is None:
        plan.stages.progress.note(
            f"task {graphs.meaning.task} has no classes: labels.txt is written and nothing uses it"
        )
    if names:
        texts["labels.txt"] = "".join(f"{name}\n" for name in names)
    different = {a.filename: a for a in files.values()}
    return Content(texts=texts, artifacts=tuple(different.values()), keep=plan.options.keep)


def _as_made(plan: Plan, target: Target, made: Lowering) -> Plan:
    """Return the plan for one target, as if the precision that it got had been asked for."""
    return replace(plan, spec=replace(plan.spec.on(target.name), precision=made.chosen.precision, per_target={}))


def _config(plan: Plan, graphs: Graphs, target: Target, artifact: Artifact, *, labelled: bool) -> str:
    backend = target.backend(artifact.backend)
    assert backend is not None
    task = tasks.get(graphs.meaning.task)
    served = graphs.meaning.contract == "served"
    return render.render_config(
        render.config_context(
            name=plan.spec.name,
            signature=artifact.signature,
            backend=backend,
            target=target,
            spec=plan.spec,
            model_filename=artifact.loaded,
            label_filename="labels.txt" if labelled else None,
            label_output=task.labelled if labelled and served else None,
            digest=artifact.digest,
        )
    )


def _draft(
    plan: Plan,
    graphs: Graphs,
    lowerings: Mapping[str, Lowering],
    files: Mapping[str, Artifact],
    content: Content,
) -> Manifest:
    return replace(
        drafting.draft(plan.spec, graphs, plan.targets, lowerings, files),
        version=repository.next_version(plan.published, content.artifacts),
        labels=content.texts.get("labels.txt", "").count("\n"),
    )


def _prove(
    plan: Plan,
    graphs: Graphs,
    files: Mapping[str, Artifact],
    content: Content,
    entry: Entry,
    standby: Standby,
) -> tuple[tuple[Parity, ...], Mapping[str, Verification]]:
    """Compare every stage with the one before, while a real Triton loads what is staged."""
    candidates = tuple(
        _candidate(plan, t, files[t.name], content.texts[f"configs/{t.name}.pbtxt"]) for t in plan.targets
    )
    largest = max(1, *(c.max_batch_size for c in candidates))
    recipe = Recipe(signature=graphs.served.signature, count=largest, images=plan.images)
    if plan.images and not recipe.chosen():
        plan.stages.progress.note("compared on random inputs: images are used where the model takes UINT8 frames")
    verifier = Verifier(
        stages=plan.stages, entry=entry, candidates=candidates, recipe=recipe, mode=plan.options.verify,
        stand_in=lambda artifact: _stand_in(plan, graphs, artifact), standby=standby,
        answered=Answered(graphs.served.digest),
    )  # fmt: skip
    with verifier.beside() as verified:
        sizes = inputs.batch_sizes(graphs.original.signature, largest)
        parity = _compare(plan, graphs, recipe, sizes, verifier.answered)
        return parity, verified()


def _candidate(plan: Plan, target: Target, artifact: Artifact, text: str) -> Candidate:
    asked = plan.spec.on(target.name).intra_op_threads
    return Candidate(
        target=target,
        artifact=artifact,
        text=text,
        max_batch_size=_max_batch(plan, target, artifact),
        threads=target.defaults.intra_op_threads if asked is None else asked,
    )


def _stand_in(plan: Plan, graphs: Graphs, artifact: Artifact) -> Candidate:
    """Return the model as a CPU would serve it: for a repository whose targets all need a GPU."""
    target, artifact = targets.load(verify.STAND_IN), artifact.portable
    return _candidate(plan, target, artifact, _config(plan, graphs, target, artifact, labelled=False))


def _compare(
    plan: Plan, graphs: Graphs, recipe: Recipe, sizes: tuple[int, ...], answered: Answered
) -> tuple[Parity, ...]:
    """Hold each graph against the one before it."""
    digests = (graphs.original.digest, graphs.network.digest, graphs.served.digest, recipe.digest())

    def work(_: Path) -> tuple[Parity, ...]:
        from kit import compare

        try:
            found = compare.check_stages(graphs, recipe.make(), sizes, answered)
            if (other := recipe.resized()) is not None:
                found = compare.check_resized(graphs, other, found, plan.stages.progress.note)
        except simplify.UnfaithfulError as error:
            loading.leave(graphs.original, plan.stages, str(error))
            raise
        return found

    key = Key(
        stage="compare",
        inputs=digests,
        parameters=(sizes, graphs.reference is not None),
        tools=("onnxruntime", "numpy", "torch") if graphs.reference else ("onnxruntime", "numpy"),
    )
    return plan.stages.cached(key, tuple[Parity, ...], work, summary.parity)


def _publish(plan: Plan, entry: Entry, finished: Manifest) -> Entry:
    """Publish what is staged, unless the very same stands there already."""
    start = time.perf_counter()
    published = plan.published
    standing = Entry(name=entry.name, path=published.path, version=entry.version, changed=False)
    if not published.edited and _is_known(plan, finished):
        plan.stages.finished("publish", "unchanged", start)
        return standing
    repository.write_manifest(entry.path, finished)
    placed = repository.publish(entry, published)
    plan.stages.finished("publish", f"{placed.path}/{placed.version}", start)
    return placed


def _is_known(plan: Plan, finished: Manifest) -> bool:
    """Tell whether the published manifest says the same; an unverified run adds nothing to a verified one."""
    known = plan.published.manifest
    if known is None:
        return False
    if plan.options.verify == "none":
        seen = {name: record.verification for name, record in known.targets.items()}
        finished = manifest.with_evidence(finished, finished.parity, seen)
    return manifest.text(known) == manifest.text(finished)


def _max_batch(plan: Plan, target: Target, artifact: Artifact) -> int:
    backend = target.backend(artifact.backend)
    assert backend is not None
    return render.max_batch_size(artifact.signature, backend, target, plan.spec.on(target.name))


def _meaning_parameters(spec: Spec) -> tuple[object, ...]:
    return (spec.task, spec.head, spec.contract, spec.normalization, spec.color, spec.thresholds, spec.argmax)
