"""The manifest of a run, as far as it is known before anything was verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kit import __version__, precision, runtimes, sources, targets
from kit.cache import tool_version
from kit.lowering import Lowering
from kit.manifest import AccuracyRecord, Manifest, Origin, TargetRecord
from kit.targets.values import Target
from kit.types import Artifact, Graphs, Spec, Verification

GRAPH_TOOLS = ("onnx", "onnxruntime")
"""The distributions that every model goes through."""


def draft(
    spec: Spec,
    graphs: Graphs,
    facts: Sequence[Target],
    lowerings: Mapping[str, Lowering],
    files: Mapping[str, Artifact],
) -> Manifest:
    """Return the manifest without version and labels, and without what is still to be seen: parity and verification."""
    source = sources.resolve(spec.source)
    return Manifest(
        name=spec.name,
        version=0,
        kit=__version__,
        source=Origin(kind=source.name, name=source.origin(spec.source), sha256=graphs.source_digest),
        tools={tool: tool_version(tool) for tool in _tools(spec, facts, lowerings)},
        interpretation=graphs.meaning,
        signature=graphs.served.signature,
        labels=0,
        parity=(),
        targets={target.name: _record(target, lowerings[target.name], files[target.name]) for target in facts},
    )


def replacing(spec: Spec, standing: Manifest | None) -> str | None:
    """Say that a model of this name is there which was made from something else; None where it is not so."""
    origin = sources.resolve(spec.source).origin(spec.source)
    if standing is None or standing.source.name == origin:
        return None
    return (
        f"{origin} takes the place of {standing.source.name}, of which {spec.name} version {standing.version} was "
        "made; for two models, give one of them another --name"
    )


def _tools(spec: Spec, facts: Sequence[Target], lowerings: Mapping[str, Lowering]) -> list[str]:
    levels = [precision.get(made.chosen.precision) for made in lowerings.values()]
    builders = [runtimes.choose(target, spec.on(target.name).runtime) for target in facts]
    of_precisions = (tool for level in levels for tool in level.tools)
    of_runtimes = (tool for builder in builders for tool in builder.tools)
    source = sources.resolve(spec.source)
    return sorted({"onnxsim", *GRAPH_TOOLS, *source.tools, *of_precisions, *of_runtimes})


def _record(target: Target, made: Lowering, file: Artifact) -> TargetRecord:
    return TargetRecord(
        config=f"configs/{target.name}.pbtxt",
        backend=file.backend,
        precision=made.chosen.precision,
        facts=targets.used_facts(target, file.backend),
        verification=Verification(target="", level="none", server=None),
        accuracy=_accuracy(made),
    )


def _accuracy(made: Lowering) -> AccuracyRecord | None:
    """Return what was judged; None where nothing was tried, which is all that most runs do."""
    if made.chosen.verdict is None:
        return None
    from kit import appraisal

    return appraisal.record(made)
